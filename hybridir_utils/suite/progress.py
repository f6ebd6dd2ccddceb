"""How far a run or a sweep is: in a terminal a bar over all notebooks and one for each running notebook's cells, in a log a line each."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..experiment.run import Run
from .cells import Cell, forget_cells, running_cells
from .plan import step_reasons
from .records import OK, RUNNING, Record, read_record
from .running import Step, chosen_steps, run_suite

TICK = 0.3  # seconds between two looks at the files
WHOLE = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}"
ONE = "  {desc} |{bar:10}| cell {n_fmt}/{total_fmt} {elapsed}{postfix}"


def run_shown(run: Run, start_at: str = "", only: str = "", timeout: float | None = None) -> list[Step]:
    """`run_suite`, with its progress shown."""
    with shown([Watch(run, start_at, only)], tell=False) as say:
        return run_suite(run, start_at, only, say, timeout)


class Watch:
    """What the notebooks of one run do from now on, read from the records and cell files that their processes write.

    due: those of the `chosen_steps` that have to be executed, as it stands now.
    """

    def __init__(self, run: Run, start_at: str = "", only: str = "", label: str = ""):
        self.label, self.steps = label, chosen_steps(run, start_at, only)
        self.due = [step for step, _, reasons in step_reasons(run, self.steps) if reasons or start_at or only]
        self.states = {step: _state(step) for step in self.steps}
        self.ended = set(self.steps) - set(self.due)
        for folder in self._folders():
            forget_cells(folder)

    def events(self) -> Iterator[tuple[Step, str, float]]:
        """(notebook, status, seconds) of each execution that has begun, and again when it has ended, since the last call."""
        for step in self.steps:
            state, before = _state(step), self.states[step]
            if state is None or before == state:
                continue
            self.states[step] = state
            if before is None or before[0] != state[0]:
                self.ended.discard(step)
                yield step, RUNNING, 0.0
            if state[1] != RUNNING:
                self.ended.add(step)
                yield step, *state[1:]

    def cells(self) -> list[Cell]:
        """The cells that are running."""
        return [cell for folder in self._folders() for cell in running_cells(folder)]

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(step.executed.parent for step in self.steps))


def _state(step: Step) -> tuple[tuple, str, float] | None:
    """(which execution, status, seconds) of the notebook's record."""
    record: Record | None = read_record(step.record)
    return record and ((record.started, record.process), record.status, record.seconds)


@contextmanager
def shown(watches: list[Watch], tell: bool) -> Iterator[Callable[[str], None]]:
    """Show what the watches see until the block ends; gives the function that prints a line above the bars.

    tell: print a line at each notebook's start and end. Bars are drawn in
    a terminal only.
    """
    bars = Bars(sum(len(watch.steps) for watch in watches)) if _in_terminal() else None
    say, ended = bars.say if bars else _print, threading.Event()

    def look() -> None:
        for watch in watches:
            for event in watch.events():
                if tell:
                    say(_line(watch.label, *event))
        if bars:
            bars.draw(sum(len(watch.ended) for watch in watches), [(watch.label, cell) for watch in watches for cell in watch.cells()])

    def keep_looking() -> None:
        while not ended.wait(TICK):
            look()

    looking = threading.Thread(target=keep_looking, daemon=True)
    with bars or nullcontext():
        looking.start()
        try:
            yield say
        finally:
            ended.set()
            looking.join()
            look()


class Bars:
    """The bar over all notebooks, and below it one for each that runs, with its cell's first line."""

    def __init__(self, total: int):
        self.whole = _bar(total, "notebooks", WHOLE)
        self.running: dict[tuple[str, str], object] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_) -> None:
        for bar in (*self.running.values(), self.whole):
            bar.close()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.whole.write(line, file=sys.stdout)

    def draw(self, ended: int, cells: list[tuple[str, Cell]]) -> None:
        """Show how many notebooks have ended, and the cells that run now."""
        self.whole.n = ended
        self.whole.refresh()
        now = {(label, cell.notebook): cell for label, cell in cells}
        for gone in self.running.keys() - now.keys():
            self.running.pop(gone).close()
        for name, cell in now.items():
            if name not in self.running:
                self.running[name] = _bar(cell.of, " ".join(filter(None, name)), ONE, leave=False, initial=cell.number)
            self.running[name].n = cell.number
            self.running[name].set_postfix_str(cell.code)


def _bar(total: int, description: str, form: str, **options):
    from tqdm import tqdm

    return tqdm(total=total, desc=description, bar_format=form, dynamic_ncols=True, **options)


def _line(label: str, step: Step, status: str, seconds: float) -> str:
    what = {RUNNING: "running", OK: f"done in {seconds:.0f} s"}.get(status, f"{status} after {seconds:.0f} s")
    return f"{label}{' ' if label else ''}{step.notebook.stem}: {what}"


def _in_terminal() -> bool:
    return sys.stderr.isatty()


def _print(line: str) -> None:
    print(line, flush=True)
