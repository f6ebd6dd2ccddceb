"""The held-out task of a set of sections (`mscourses-test` …): some articles are for testing, and training leaves them out.

The heading asks for its passage in the pool of all held-out passages; every translation of the passage is relevant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from ..base.errors import InputError
from ..base.files import read_jsonl
from ..base.languages import check_languages
from ..base.mapped import codes, keep_rows
from ..tasks.retrieval_task import RetrievalTask, task_from_pairs
from .pairs import read_sections, section_languages

SHARE = 0.1  # of the articles
LEAST_SECTIONS = 50  # a tenth of a set of single questions would be too few to tell anything: then more articles are held out
LEAST_PASSAGES = 10  # a pool of fewer finds anything: a language with fewer held-out passages is not in the task
PASSAGE_CHARS = 400  # as training passages are cut by default, so that the task of the training set's own kind has no longer ones


def held_out_articles(folder: Path, seed: int = 0) -> frozenset[str]:
    """Ids of a tenth of a set's articles, drawn by `seed`; of more where these hold fewer than LEAST_SECTIONS sections, never of more
    than half. What is drawn depends on the set alone, not on the languages asked for. Raises InputError as `read_jsonl`.
    """
    folder = Path(folder)
    paths = [folder / "en.jsonl.gz"] if (folder / "en.jsonl.gz").exists() else sorted(folder.glob("*.jsonl.gz"))
    ids = {row["id"] for path in paths for _, row in read_jsonl(path, required=("id",))}
    sections = pd.Series([article(id_) for id_ in sorted(ids)], dtype=object).value_counts(sort=False).sort_index()
    order = np.random.default_rng(seed).permutation(len(sections))
    enough = int(np.searchsorted(sections.to_numpy()[order].cumsum(), LEAST_SECTIONS)) + 1
    count = min(max(round(SHARE * len(sections)), enough), len(sections) // 2)
    return frozenset(sections.index[order[:count]])


def article(section_id: str) -> str:
    """The article of a section: its id up to the last `#`; the whole id where a section stands alone."""
    return section_id.rpartition("#")[0] or section_id


def without_articles(pairs: Dataset, articles: frozenset[str], source: str) -> Dataset:
    """The pairs that `read_sections` gives, less those of the articles."""
    return keep_rows(pairs, ~_in_articles(pairs, articles, source))


def section_task(folder: Path, languages: Sequence[str], source: str, seed: int = 0) -> RetrievalTask:
    """`<source>-test` in those of the languages in which the set has at least LEAST_PASSAGES held-out passages (`task.languages`).

    folder, source: as of `read_sections`. seed: draws the articles. Raises UnknownName for a code that is no language, InputError
    where no language is left.
    """
    shared = [language for language in check_languages(languages) if language in section_languages(folder)]
    pairs = read_sections(folder, shared, source, PASSAGE_CHARS) if shared else None
    held = keep_rows(pairs, _in_articles(pairs, held_out_articles(folder, seed), source)).to_pandas() if shared else pd.DataFrame()
    passages = held.groupby("language")["passage_id"].nunique() if len(held) else pd.Series(dtype=int)
    kept = passages.index[passages >= LEAST_PASSAGES]
    if not len(kept):
        raise InputError(
            f"task {source}-test: none of the languages {', '.join(languages)} has {LEAST_PASSAGES} passages in the held-out articles of "
            f"{folder}; it has files in {', '.join(section_languages(folder)) or 'none'}. Ask for one of these, or leave the task out."
        )
    return task_from_pairs(f"{source}-test", Dataset.from_pandas(held[held["language"].isin(kept)], preserve_index=False))


def _in_articles(pairs: Dataset, articles: frozenset[str], source: str) -> np.ndarray:
    """[rows] bool: whether a pair's section is of one of the articles."""
    numbers, ids = codes(pairs, "id")
    return np.array([article(id_.removeprefix(f"{source}:")) in articles for id_ in ids.to_pylist()], dtype=bool)[numbers]
