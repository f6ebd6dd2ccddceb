"""A notebook's process, in which papermill notes the running cell in the executed copy, and the bar in a terminal that shows it."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.progress import TICK, new_bar

if TYPE_CHECKING:
    from ..experiment.run import Run

INJECTED = "injected-parameters"  # papermill's tag of the cell it adds to an executed copy
PART = ".part.ipynb"  # of the copy that is being executed
WIDTH = 80  # characters of a cell's first line
LOGGED = 120.0  # seconds between two lines of a log that name the running cell
KERNEL_DIED = 3  # exit status
UP_TO_DATE, DONE = "up to date", "done in"
ENDED = re.compile(rf": ({DONE}|{UP_TO_DATE})")  # in a line that says that a notebook has
BAR = "notebooks {n_fmt}/{total_fmt} |{bar:20}| {elapsed} {desc}"

Say = Callable[[str], None]


def part_of(executed: Path) -> Path:
    """Where the copy lies while papermill executes it: saved as each cell begins and ends, with the cells' status."""
    return executed.with_name(f".{executed.stem}{PART}")


def running_cells(folder: Path) -> list[str]:
    """`01_first cell 2/7: x = 1` for each running cell of a folder's notebooks, by its number among the notebook's own code cells and its
    first line of code.
    """
    found = []
    for path in sorted(folder.glob(f".*{PART}")):
        with suppress(OSError, ValueError, LookupError):  # it is being written, or has just gone
            own = own_code_cells(json.loads(path.read_text(encoding="utf-8"))["cells"])
            name = path.name[1:].removesuffix(PART)
            found += [
                f"{name} cell {number}/{len(own)}: {_first_line(''.join(cell['source']))}"
                for number, cell in enumerate(own, start=1)
                if cell["metadata"]["papermill"]["status"] == "running"
            ]
    return found


def forget_cells(folder: Path) -> None:
    """Remove what a killed process has left."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def own_code_cells(cells: list) -> list:
    """Those of an executed copy's cells that a reader counts: the notebook's own code cells."""
    return [cell for cell in cells if cell["cell_type"] == "code" and INJECTED not in cell["metadata"].get("tags", [])]


def _first_line(source: str) -> str:
    """The first line with code, else the first with anything, without what a terminal would not print as text."""
    lines = [line.strip() for line in source.splitlines() if line.strip()] or [""]
    line = next((line for line in lines if not line.startswith("#")), lines[0])
    return "".join(c for c in line if c.isprintable())[:WIDTH]


@contextmanager
def shown(total: int, runs: Sequence[Run], look: Callable[[Say], None] = lambda say: None) -> Iterator[Say]:
    """Until the block ends, show in a terminal how many of `total` notebooks have ended, and the cells of the runs that are running.

    Gives the function that prints a line, above the bar; without a terminal it prints the running cells every LOGGED seconds. look: called
    with it every TICK seconds and at the end, for a caller who learns from files what to say.
    """
    bar, ended = new_bar(total=total, bar_format=BAR, dynamic_ncols=True, disable=None), threading.Event()

    def say(line: str) -> None:
        bar.write(line, file=sys.stdout)
        sys.stdout.flush()
        bar.update(len(ENDED.findall(line)))

    def keep_looking() -> None:
        told = time.monotonic()
        while not ended.wait(TICK):
            look(say)
            bar.set_description_str(cells := _cells(runs))
            if bar.disable and cells and time.monotonic() - told >= LOGGED:
                say(f"    {time.strftime('%H:%M')} {cells}")
                told = time.monotonic()

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
    return " · ".join(label.format(run) + cell for run in runs for cell in running_cells(run.notebooks))


def main(notebook: str, output: str, parameters: str, sockets: str) -> int:
    """Execute with papermill, cells saved as they end; 1 when a cell fails (the suite reads the error from the copy).

    sockets: folder of those by which it speaks with the kernel: to the network's anybody on the machine can listen.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # optional to jsonschema, for URLs no notebook has; it makes a grammar, 2 s each time
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    end_with_parent()
    kernel = {"transport": "ipc", "ip": str(Path(sockets, "kernel"))} if os.name == "posix" else {}
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        papermill.execute_notebook(
            notebook,
            output,
            json.loads(parameters),
            cwd=str(Path.cwd()),  # a relative path means the same here as on the command line
            progress_bar=False,
            log_output=False,
            config=Config({"KernelManager": kernel}),
            kernel_manager_class=_without_interrupt(),
        )
    except papermill.PapermillExecutionError:
        return 1
    except DeadKernelError:
        return KERNEL_DIED
    finally:
        _drop_progress(Path(output))
    return 0


def _without_interrupt() -> type:
    """A manager that ends a kernel by asking alone, where the library interrupts it before it asks.

    papermill waits for the answer to its last message, which the kernel need not be through with by then: on a busy machine it would report
    a KeyboardInterrupt on standard error, though all cells have ended well.
    """
    from jupyter_client import AsyncKernelManager

    class Asking(AsyncKernelManager):
        async def _async_interrupt_kernel(self) -> None:
            """Nothing runs that could be interrupted."""

    return Asking


def _drop_progress(path: Path) -> None:
    """Take the progress bars, which papermill keeps line by line, out of the executed copy."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in cell["outputs"] if not (output.get("name") == "stderr" and "\r" in output["text"])]
    nbformat.write(notebook, path)


def end_with_parent() -> None:
    """When the process that started this one is killed, this one ends too, and its children with it, so that the next suite works alone."""
    threading.Thread(target=_watch, args=[os.getppid()], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(TICK)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
