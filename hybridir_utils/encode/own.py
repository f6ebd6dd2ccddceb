"""Any function `texts, role -> vectors` as an encoder: an API's embeddings, another library's model.

    def encode(texts, role):  # list of str, "query" or "document"
        return array          # [len(texts), width], numbers; rows need not have unit length

No more is known of a function than its name, so its vectors are not kept on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pandas as pd

from ..base.errors import HybridIRError, InputError, did_you_mean
from ..base.progress import new_bar
from ..tasks.retrieval_task import RetrievalTask
from .encoding import TaskVectors, need_room, unit_rows

Function = Callable[[list[str], str], object]

BATCH = 256  # texts of a call


def named_function(place: str) -> Function:
    """The function of `module:function`; modules of the working folder are found. Raises InputError where there is none."""
    module, _, name = place.partition(":")
    if not module or not name:
        raise InputError(f"--encoder {place!r}: expected module:function, for example my_encoder:encode for my_encoder.py here.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = resolve_name(place)
    except Exception as error:  # whatever the module does when it is imported
        if not isinstance(error, AttributeError) or module not in sys.modules:
            raise InputError(f"--encoder {place}: importing {module!r} failed with {type(error).__name__}: {error}.") from error
        found = None
    if not callable(found):
        names = [each for each, value in vars(sys.modules[module]).items() if callable(value)]
        raise InputError(f"--encoder {place}: {module!r} has no function {name!r}{did_you_mean(name, names)}")
    return found


def own_vectors(encode: Function, task: RetrievalTask) -> TaskVectors:
    """Unit vectors of a task's texts, every distinct one given to the function once a role.

    Raises InputError when the function fails, or gives other than one finite vector a text, all of one width, naming the text; and when
    memory does not hold so many vectors of the width of the first, before the others are asked for.
    """
    name, sides, width = getattr(encode, "__name__", type(encode).__name__), [], 0
    with new_bar(total=len(task.queries) + len(task.candidates), desc=f"encoding ({name})", unit="text") as bar:
        for role, frame in (("query", task.queries), ("document", task.candidates)):
            rows, texts = pd.factorize(frame["text"])
            parts = []
            for start in range(0, len(texts), BATCH):
                parts.append(_called(encode, list(texts[start : start + BATCH]), role, name, width))
                if not width:
                    need_room(task, width := parts[0].shape[1])
                bar.update(len(parts[-1]))
            bar.update(len(rows) - len(texts))
            sides.append(unit_rows(np.concatenate(parts))[rows])
    return TaskVectors(*sides)


def _called(encode: Function, texts: list[str], role: str, name: str, width: int) -> np.ndarray:
    """[len(texts), width] of one call, checked; width 0: not known yet."""
    try:
        with np.errstate(over="ignore"):
            vectors = np.asarray(encode(texts, role), np.float32)
    except HybridIRError:
        raise
    except Exception as error:
        raise InputError(f"encoder {name}: failed on {len(texts)} texts ({role}) with {type(error).__name__}: {error}.") from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.shape[1] or vectors.shape[1] != (width or vectors.shape[1]):
        expected = f"[{len(texts)}, {width or 'width'}]"
        raise InputError(f"encoder {name}: expected {expected} numbers for {len(texts)} texts ({role}), found shape {list(vectors.shape)}.")
    if len(broken := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        raise InputError(f"encoder {name}: the vector of {texts[broken[0]][:80]!r} ({role}) is not finite ({len(broken)} of {len(texts)}).")
    return vectors
