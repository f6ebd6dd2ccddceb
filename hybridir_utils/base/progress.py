"""How far long work is: a bar for a person, in JupyterLab as a widget, elsewhere as a line on stderr.

Bars of other processes, and of libraries that draw text only, tell what they would draw, and one bar shows it. Nothing that is computed
depends on it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partialmethod

LINE = "{desc} {n_fmt}/{total_fmt} {unit}s |{bar}| {elapsed}<{remaining}"
JOBS = "{desc} |{bar}| {elapsed}<{remaining}"
WAITING = "{desc} … {elapsed}"
TICK = 0.5  # seconds between two looks of a person
SOON = 2.0  # seconds before a bar of what may be quick
LOGGED = 60.0  # seconds between two lines of a log
NAME = 60  # characters of a bar's name that are told

Tell = Callable[[str, float, float, str], None]  # name of a bar, how far it is, of how many, of what


def is_interactive() -> bool:
    """Whether a person's Jupyter server started this kernel; papermill, nbconvert and nbval set no session name."""
    return "JPY_SESSION_NAME" in os.environ


def new_bar(**options):
    """A tqdm bar: a widget in JupyterLab, else a line on stderr, seldom where that is no terminal."""
    if is_interactive():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    every = TICK if _is_seen() else LOGGED
    return tqdm(**{"mininterval": every, "miniters": 0, "smoothing": 0, "bar_format": LINE, "leave": True, "delay": 0} | options | _size())


def _size() -> dict:
    """For a terminal that tells none, as below `script`: tqdm would draw nothing there."""
    with suppress(OSError, ValueError):  # no terminal
        if not is_interactive() and not all(os.get_terminal_size(sys.stderr.fileno())):
            return {"dynamic_ncols": False, "ncols": 100, "nrows": 20}
    return {}


def _is_seen() -> bool:
    return is_interactive() or sys.stderr.isatty()


def counted(items: Iterable, name: str, total: int, unit: str, size: Callable[[object], int] = lambda _: 1) -> Iterator:
    """The items, counted by a bar where they take long. size: of how many units an item is."""
    with new_bar(desc=name, total=total, unit=unit, delay=SOON, leave=False) as bar:
        for item in items:
            yield item
            bar.update(size(item))


@contextmanager
def passing_bars() -> Iterator[None]:
    """Within the block, bars of libraries that draw text come where they take long, and leave no line behind."""
    from tqdm.std import tqdm

    made = tqdm.__init__
    tqdm.__init__ = partialmethod(made, delay=SOON, leave=False)
    try:
        yield
    finally:
        tqdm.__init__ = made


@contextmanager
def bars_told(tell: Tell, but: object = None) -> Iterator[None]:
    """Within the block, bars of tqdm that would draw a line tell what it says in place of drawing it, `but` one."""
    from tqdm.std import tqdm

    def told(self, *place, **how) -> None:
        if self is but:
            drawn(self, *place, **how)
            return
        self.leave = False  # it draws no line, so it ends none
        if self.total:
            tell(self.desc.removesuffix(": ")[:NAME], self.n, self.total, self.unit)

    def clear(self, *how, **more) -> None:
        if self is but:
            cleared(self, *how, **more)

    drawn, cleared = tqdm.display, tqdm.clear
    tqdm.display, tqdm.clear = told, clear
    try:
        yield
    finally:
        tqdm.display, tqdm.clear = drawn, cleared


@contextmanager
def widget_bars() -> Iterator[None]:
    """In JupyterLab, bars within the block that would be lines of text are widgets."""
    if not is_interactive():
        yield
        return
    shown = {}

    def tell(name: str, done: float, of: float, unit: str) -> None:
        if name not in shown:
            shown[name] = new_bar(desc=name, total=of, unit=unit)
        shown[name].update(done - shown[name].n)

    try:
        with bars_told(tell):
            yield
    finally:
        for bar in shown.values():
            bar.close()


@contextmanager
def told_while(what: str, delay: float = SOON) -> Iterator[None]:
    """Says, to a person who looks and where the block takes longer than a delay, what is done and since when: of what has no steps."""
    if not _is_seen():
        yield
        return
    ended, bar = threading.Event(), new_bar(desc=what, bar_format=WAITING, delay=delay, leave=False)

    def tell() -> None:
        while not ended.wait(TICK):
            bar.update(0)

    telling = threading.Thread(target=tell, name=f"told while {what}", daemon=True)
    telling.start()
    try:
        yield
    finally:
        ended.set()
        telling.join()
        bar.close()


@contextmanager
def texts_counted(model, name: str, texts: int) -> Iterator[None]:
    """A bar, in place of others, that counts the texts which a SentenceTransformer encodes within the block; texts: most that it may."""
    with new_bar(desc=f"encoding {name}", total=texts, unit="text", delay=SOON, leave=False) as bar, bars_told(lambda *_: None, but=bar):

        def count(_module, _given, found) -> None:
            bar.update(min(len(found["sentence_embedding"]), texts - bar.n))  # one is encoded before all, to see whether that can be

        counting = model.register_forward_hook(count)
        try:
            yield
        finally:
            counting.remove()


class JobsBar:
    """A bar over jobs of several workers: how many have ended, and how far those are that tell."""

    def __init__(self, label: str, jobs: int):
        self.label, self.jobs, self.far = label, jobs, {}
        self.bar = new_bar(desc=f"{label} 0/{jobs}", total=jobs, bar_format=JOBS)

    def look(self, ended: int, told: Iterable[tuple]) -> None:
        """ended: jobs. told: (worker, name, done, of, unit) of a worker's bar, or (worker,) where its job has ended."""
        for worker, *far in told:
            self.far[worker] = far
        if ended == self.jobs:
            self.far.clear()
        told = [*filter(None, self.far.values())]
        steps = [done / of for _, done, of, unit in told if unit == "step"]  # a training's are the whole job's
        words = [f"{name} {done:,}/{of:,} {unit}s".removeprefix(f"{self.label} ") for name, done, of, unit in told]
        self.bar.set_description_str(" · ".join([f"{self.label} {ended}/{self.jobs}", *words]), refresh=False)
        self.bar.update(max(self.bar.n, min(self.jobs, ended + sum(steps))) - self.bar.n)

    def say(self, line: str) -> None:
        """Put a line above the bar."""
        self.bar.write(line, sys.stderr, end="")

    def close(self) -> None:
        self.bar.close()
