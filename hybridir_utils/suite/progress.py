"""How far a run or a sweep is: lines, and in a terminal below them a bar over the notebooks, with the cell that is running."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..experiment.run import Run
from .cells import running_cells
from .running import DONE, UP_TO_DATE, Step, chosen_steps, run_suite

TICK = 0.5  # seconds between two looks at the files
BAR = "notebooks {n_fmt}/{total_fmt} |{bar:20}| {elapsed} {desc}"
ENDED = re.compile(rf": ({DONE}|{UP_TO_DATE})")  # in a line that says that a notebook has

Say = Callable[[str], None]


def run_shown(run: Run, start_at: str = "", only: str = "", timeout: float | None = None) -> list[Step]:
    """`run_suite`, with its progress shown."""
    with shown(len(chosen_steps(run, start_at, only)), [run]) as say:
        return run_suite(run, start_at, only, say, timeout)


@contextmanager
def shown(total: int, runs: Sequence[Run], look: Callable[[Say], None] = lambda say: None) -> Iterator[Say]:
    """Until the block ends, show in a terminal how many of `total` notebooks have ended, and the cells of the runs that are running.

    Gives the function that prints a line, above the bar. look: called with it every TICK seconds and at the end, for a caller who learns
    from files what to say.
    """
    from tqdm import tqdm

    bar, ended = tqdm(total=total, bar_format=BAR, dynamic_ncols=True, disable=not _in_terminal()), threading.Event()

    def say(line: str) -> None:
        bar.write(line, file=sys.stdout)
        sys.stdout.flush()
        bar.update(len(ENDED.findall(line)))

    def keep_looking() -> None:
        while not ended.wait(TICK):
            look(say)
            bar.set_description_str(_cells(runs))

    looking = threading.Thread(target=keep_looking, daemon=True)
    with bar:
        looking.start()
        try:
            yield say
        finally:
            ended.set()
            looking.join()
            look(say)
            bar.set_description_str("")


def _cells(runs: Sequence[Run]) -> str:
    """The cells that are running, each with its run's name where there are several."""
    label = "{0.name} " if len(runs) > 1 else ""
    found = [(run, cell) for run in runs for cell in running_cells(run.notebooks)]
    return " · ".join(f"{label.format(run)}{cell.notebook} cell {cell.number}/{cell.of}: {cell.code}" for run, cell in found)


def _in_terminal() -> bool:
    return sys.stderr.isatty()
