"""An encoder outside any profile: one that is asked for by name, or any function `texts, role -> vectors` (an API's embeddings, another
library's model).

    def encode(texts, role):  # list of str, "query" or "document"
        return array          # [len(texts), width], numbers; rows need not have unit length

Vectors of a named encoder are kept below `data/runs/evaluate/vectors`, so that a second evaluation, or one that goes on after a kill, reads
them. No more is known of a function than its name, so its vectors are not kept.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pandas as pd

from ..base.errors import HybridIRError, InputError, did_you_mean, near_folder, raised
from ..base.files import file_safe, fingerprint
from ..base.hub import split_place
from ..base.memory import need_free
from ..base.progress import new_bar, texts_counted
from ..encode.catalogue import ENCODERS, applied, family_of, known_encoder, own_prompts, place_of, prompts_of, settings, unlike_family
from ..encode.corpora import open_once, task_vectors
from ..encode.encoding import TaskVectors, encode_task, need_room, unit_rows
from ..encode.opening import Opening, encoder_fault, origin
from ..rank.lexical import REFERENCES
from ..tasks.retrieval_task import RetrievalTask
from ..tasks.searched_task import SearchTask
from .run import run_folder

Function = Callable[[list[str], str], object]

BATCH = 256  # texts of a call of a function
BATCH_TOKENS = 16384
FP32 = 4  # bytes
# What a transformers model without a pooling of its own was trained to be; a body or a language model may still be an encoder.
OTHER_HEAD = re.compile(r"(For(?!MaskedLM|PreTraining|CausalLM|TextEncoding)\w+|MTModel)$")


@dataclass(frozen=True)
class NamedEncoder:
    """name: as asked for; place: where it is opened from; origin: what that stood for; notes: its prompts and whose they are, and what
    else a reader should know of it.
    """

    name: str
    place: str
    origin: str
    opening: Opening
    notes: tuple[str, ...]

    def vectors(self, task: RetrievalTask) -> TaskVectors:
        """Of the task's texts, kept in shards. Raises InputError as `open_model` and `task_vectors`, and, before any text is encoded, where
        memory does not hold them.
        """
        try:
            model = open_once(self.place, self.origin, self.opening)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.name}: cannot be opened as a sentence encoder ({str(error).splitlines()[0]}).") from error
        if width := model.get_embedding_dimension():
            need_room(task, width)
        pool = f"{file_safe(task.name)}-{fingerprint([[*task.queries['id']], [*task.candidates['id']]])[:6]}"
        folder = run_folder("evaluate") / "vectors" / pool
        return task_vectors(self.place, task, folder, opening=self.opening, batch_tokens=BATCH_TOKENS, precision="fp32")


def named_encoder(name: str, prompts: tuple[str, str] | None = None) -> NamedEncoder:
    """The encoder of a folder, a name on the hub, or a short name of the catalogue, known by its settings; its weights are not read yet.

    prompts: before questions and passages, in place of its own. Raises InputError, with what to do, where it is not there, is no sentence
    encoder, or is larger than memory.
    """
    place = place_of(name)
    if name in REFERENCES:
        raise InputError(f"{name} ranks without vectors, and is no encoder; `evaluate` measures it beside encoders.")
    if fault := encoder_fault(place):
        what = "no copy of encoder" if known_encoder(name) else "unknown encoder"
        raise InputError(f"{what} {name!r}{_nearest(name)} As a folder or a name on the hub: {fault}")
    if size := weight_bytes(name):
        need_free(size, f"{name}: opening it", "Take a smaller encoder, or free memory.")
    notes = [*_own_pooling(name, place), prompt_note(name, place, prompts)]
    return NamedEncoder(name, place, origin(place), Opening(prompts=prompts or prompts_of(name)), tuple(notes))


def _nearest(name: str) -> str:
    """`did_you_mean` of other encoders: the catalogue's, of which those of its family where there are some, and a folder beside its own."""
    known, family, (place, _) = known_encoder(name), family_of(name), split_place(name.removeprefix("st:"))
    others = [other for other, entry in ENCODERS.items() if entry is not known]
    kin = [other for other in others if family and family_of(other) == family]
    return did_you_mean(Path(place).name, (*(kin or (*others, *REFERENCES)), *near_folder(place)))


def weight_bytes(name: str) -> int:
    """Of an encoder's weights in memory: of a folder's files, or as the catalogue counts them in fp32; 0 where neither tells."""
    if (folder := Path(split_place(place_of(name))[0])).is_dir():
        return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    known = known_encoder(name)
    return FP32 * known.parameters if known else 0


def _own_pooling(name: str, place: str) -> list[str]:
    """A note where the model has no pooling of its own. Raises InputError where it was trained to be something else."""
    kind = settings(place, "config_sentence_transformers.json", fetch=True).get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise InputError(f"{name}: a {kind}, which gives no vector of a text by itself; expected a sentence encoder.")
    if place.startswith("package:") or settings(place, "modules.json", fetch=True):
        return []
    heads = [head for head in settings(place, "config.json", fetch=True).get("architectures") or () if OTHER_HEAD.search(head)]
    if heads:
        raise InputError(f"{name}: a {heads[0]}, trained for something else than vectors of texts; expected a sentence encoder.")
    return ["it names no pooling, so the mean of its tokens is taken"]


def prompt_note(name: str, place: str, given: tuple[str, str] | None) -> str:
    """Which prompts an encoder takes, and who says so; where it takes none, whether its family wants some."""
    taken = given or prompts_of(name) or own_prompts(place) or ("", "")
    source = "as given" if given else "of data/encoders.toml" if prompts_of(name) else "of its own settings"
    if any(taken):
        return f"prompts {taken[0]!r} and {taken[1]!r}, {source}"
    return f"no prompts, {source}" if given or prompts_of(name) else unlike_family(name, place) or "no prompts"


def notes_of(encoder) -> tuple[str, ...]:
    """Those of a named encoder; of a SentenceTransformer whether it lacks the prompts that its family wants; of others none."""
    if not hasattr(encoder, "encode_query"):
        return getattr(encoder, "notes", ())
    place = getattr(getattr(encoder[0], "auto_model", None), "name_or_path", "")
    note = "" if any(applied(encoder.prompts, encoder.default_prompt_name)) else unlike_family(place, place)
    return (note,) if note else ()


def vectors_of(encoder, task: RetrievalTask) -> TaskVectors:
    """The vectors of a task in rows of unit length. encoder: a NamedEncoder or the folder or name of one, a SentenceTransformer, a function
    `(texts, role)`, or a pair of arrays. Raises InputError for anything else and for other numbers of rows, and as `need_ranked`.
    """
    need_ranked(task)
    if isinstance(encoder, tuple):
        vectors = TaskVectors(*map(unit_rows, encoder))
        found, expected = (list(map(len, sides)) for sides in (encoder, (task.queries, task.candidates)))
        if found != expected:
            raise InputError(f"task {task.name}: {expected[0]} queries and {expected[1]} candidates, but vectors for {found}.")
        return vectors
    if isinstance(encoder, str | Path | NamedEncoder):
        return (encoder if isinstance(encoder, NamedEncoder) else named_encoder(str(encoder))).vectors(task)
    if hasattr(encoder, "encode_query"):
        with texts_counted(encoder, task.name, len(task.queries) + len(task.candidates)):
            return encode_task(encoder, task)
    if callable(encoder):
        return own_vectors(encoder, task)
    kinds = "a folder, a name, a SentenceTransformer, a function (texts, role) or a pair of arrays"
    raise InputError(f"expected an encoder ({kinds}), found {type(encoder).__name__}.")


def need_ranked(task: RetrievalTask | SearchTask) -> None:
    """Raise InputError for a task that is not ranked in full."""
    if not isinstance(task, RetrievalTask):
        raise InputError(f"task {task.name}: its pools lie on disk and are searched to a depth; `rank.search` measures it.")


def named_function(place: str, prompts: tuple[str, str] | None = None) -> Function:
    """The function of `module:function`; modules of the working folder are found. prompts: before its questions and passages. Raises
    InputError where there is none.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise InputError(f"--encoder {place!r}: expected module:function, for example my_encoder:encode for my_encoder.py here.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = resolve_name(place)
    except Exception as error:  # whatever the module does when it is imported
        if not isinstance(error, AttributeError) or module not in sys.modules:
            raise InputError(f"--encoder {place}: importing {module!r} failed with {raised(error)}.") from error
        found = None
    if not callable(found):
        names = [each for each, value in vars(sys.modules[module]).items() if callable(value)]
        raise InputError(f"--encoder {place}: {module!r} has no function {name!r}{did_you_mean(name, names)}")
    return _prompted(found, prompts) if prompts else found


def _prompted(encode: Function, prompts: tuple[str, str]) -> Function:
    """The function with a prompt before each text that it is given, and a note of it."""
    before = dict(zip(("query", "document"), prompts, strict=True))
    prompted = wraps(encode)(lambda texts, role: encode([before[role] + text for text in texts], role))
    prompted.notes = (prompt_note("", "", prompts),)
    return prompted


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
        raise InputError(f"encoder {name}: failed on {len(texts)} texts ({role}) with {raised(error)}.") from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.shape[1] or vectors.shape[1] != (width or vectors.shape[1]):
        expected = f"[{len(texts)}, {width or 'width'}]"
        raise InputError(f"encoder {name}: expected {expected} numbers for {len(texts)} texts ({role}), found shape {list(vectors.shape)}.")
    if len(broken := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        raise InputError(f"encoder {name}: the vector of {texts[broken[0]][:80]!r} ({role}) is not finite ({len(broken)} of {len(texts)}).")
    return vectors
