"""What the name of a search task stands for: MIRACL, MKQA, NeuCLIR, and any retrieval set of MTEB."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.errors import UnknownName
from ..base.evaluation_sets import EvaluationSet, sets_of
from ..tasks import mkqa, mteb_tasks, neuclir
from ..tasks.miracl import NAMES, miracl_task
from ..tasks.searches import SearchTask
from .profiles import SEARCH_TASKS


def is_search_task(name: str) -> bool:
    """Whether a task's pools lie on disk and are searched to a depth; the others are `corpora.retrieval_task`s, ranked in full."""
    return name in SEARCH_TASKS or name.startswith(mteb_tasks.PREFIX)


def search_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The task of a name (`mteb:NAME[@REVISION]` too) in the given languages, or in all it has.

    Questions and judgements are read; a corpus is opened when it is asked for. Raises UnknownName for a name or a language that
    does not exist, InputError when the data cannot be had or are not as expected.
    """
    if name in NAMES:
        return miracl_task(name, languages, data_dir)
    if name == "mkqa":
        return mkqa.mkqa_task(languages, data_dir)
    if name == "neuclir":
        return neuclir.neuclir_task(languages, data_dir)
    if name.startswith(mteb_tasks.PREFIX):
        return mteb_tasks.mteb_task(name, languages, data_dir)
    raise UnknownName("search task", name, (*SEARCH_TASKS, "mteb:NAME"))


def sets_behind(name: str) -> list[EvaluationSet]:
    """The public sets that a task of any kind is made of; none where it is made of local files alone."""
    return [mteb_tasks.mteb_set(name)] if name.startswith(mteb_tasks.PREFIX) else sets_of(name)
