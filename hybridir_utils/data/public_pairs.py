"""Public training sets as parallel pairs (`data/training_sets.toml`), streamed from memory-mapped tables into memory-mapped tables: rows of
a table in one of several layouts, or triples of ids over collections.

Passages that equal each other, and the several right ones of one question, share a `passage_id`, so that none becomes another's
negative. With `negatives`, columns `negative` and `negative_id` hold the set's own hard negative, "" where a row has none.

A passage is a stretch of whole sentences of at most `max_chars` characters. A longer text is tiled by such stretches, and the one
in which the answer starts is the passage: two different passages of one text never overlap.

Triples (mMARCO) name question, right and wrong passage by the same numbers in every language. Only numbers are held, of the triples and of
the rows of the texts, which stay memory-mapped: 40 M triples over 9 M passages take about 2 GB; pairs are written as they are put together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from ..base.catalogue import Catalogue
from ..base.errors import InputError
from ..base.files import fingerprint
from ..base.hub import HubSet, hub_errors
from ..base.mapped import chunks
from ..provenance.fingerprints import code_fingerprint
from ..tasks.sentences import sentence_spans
from .pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, answer_groups, chosen, draw_pairs, drawn_size

if TYPE_CHECKING:
    from datasets import Dataset, Features

HEADER = ("query", "positive", "negative")  # of the triples
COLUMNS = ("id", "text")  # of the collections
BATCH = 20_000  # triples put together at once: 60 MB of texts

Found = tuple[str, str, str] | None  # question, passage, negative ("": none); None: the row holds no answer
Stretch = Callable[[str, int], str]


class TrainingSet(HubSet):
    """layout: how a row tells question and passage (LAYOUTS). files: part -> pattern of files, `{language}` standing for a name
    in `languages`. columns: what -> the set's name of it. ids: about how many there are. checked: what of this entry was looked up.
    """

    layout: Literal["spans", "labels", "quoted", "answers", "contexts", "judged", "triples"]
    ids: int
    files: dict[str, str]
    languages: dict[str, str] = Field(default={"en": "english"})
    columns: dict[str, str] = Field(default_factory=dict)
    checked: str
    note: str = ""

    def part(self, part: str, columns: Sequence[str], data_dir: str, language: str = "", header: Sequence[str] = ()) -> Dataset:
        """The table of one part, of one of `languages` where each has its own. Raises InputError as `HubSet.load`."""
        return self.load(columns=columns, data_dir=data_dir, files=self.files[part].format(language=language), header=header)

    def record(self, data_dir: str = "") -> dict[str, str]:
        """`HubSet.record` of the files that are read."""
        return super().record(data_dir, [pattern.format(language="*") for pattern in self.files.values()])


TRAINING_SETS = Catalogue("training_sets.toml", TrainingSet)


def hub_pairs(
    name: str,
    languages: Sequence[str] = ("en",),
    data_dir: str = "",
    max_chars: int = 400,
    max_pairs: int = 0,
    share: float = 1.0,
    seed: int = 0,
    negatives: bool = False,
) -> Dataset:
    """Parallel pairs of a set of the catalogue, memory-mapped: columns PAIR_COLUMNS, and NEGATIVE_COLUMNS where asked for.

    languages: those of the set to read. max_pairs, share: of its ids (`drawn_size`), drawn by `seed`; 0 and 1: all. Rows without
    a question, a passage or an answer in it are left out. Raises InputError as `HubSet.load`, and when nothing is left.
    """
    entry = TRAINING_SETS[name]
    with hub_errors(name):
        if entry.layout == "triples":
            pairs = triple_pairs(entry, languages, data_dir, max_chars, max_pairs, share, seed, negatives)
        else:
            pairs = draw_pairs(table_pairs(entry, data_dir, max_chars, negatives), max_pairs, share, seed)
    if not len(pairs):
        raise InputError(f"{name}: no row has a question and a passage with its answer; the set's columns may have changed their meaning.")
    return pairs


def place_fault(name: str, languages: Sequence[str] = ("en",), data_dir: str = "") -> str:
    """Why the files of a set cannot be read in these languages, with what to do; "" where they are there (`HubSet.fault`)."""
    entry = TRAINING_SETS[name]
    asked = [entry.languages[code] for code in languages if code in entry.languages]
    if not asked:
        return f"{name}: in none of the languages {', '.join(languages)}; it has {', '.join(sorted(entry.languages))}."
    patterns = dict.fromkeys(pattern.format(language=language) for pattern in entry.files.values() for language in asked)
    return entry.fault(data_dir, list(patterns))


def table_pairs(entry: TrainingSet, data_dir: str, max_chars: int, negatives: bool) -> Dataset:
    """Pairs of a set whose parts are one table each."""
    from datasets import concatenate_datasets

    parts = []
    for part in entry.files:
        rows, columns = entry.part(part, list(entry.columns.values()), data_dir), entry.columns
        if entry.layout == "judged":
            rows = judged(rows, columns)
            columns = {column: column for column in rows.column_names}
        prefix = f"{entry.name}:{part}:" if len(entry.files) > 1 else f"{entry.name}:"
        parts.append(_convert(rows, entry.name, prefix, entry.layout, columns, max_chars, negatives))
    return concatenate_datasets(parts)


def _convert(rows: Dataset, name: str, prefix: str, layout: str, columns: dict[str, str], max_chars: int, negatives: bool) -> Dataset:
    stretch, find = partial(stretch_at, max_chars=max_chars), LAYOUTS[layout]

    def pairs(batch: dict[str, list], numbers: list[int]) -> Iterator[tuple[str, ...]]:
        for number, *values in zip(numbers, *batch.values(), strict=True):
            row = dict(zip(batch, values, strict=True))
            there = all(row[columns[part]] is not None for part in ("question", "passage") if part in columns)
            question, passage, negative = (there and find(row, columns, stretch)) or ("", "", "")
            question = " ".join(question.split())
            if question and passage:
                id_ = f"{prefix}{row[columns['id']] if 'id' in columns else number}"
                passage_id = f"{name}:{row.get('group') or text_number(passage)}"
                negative_id = f"{name}:{row.get('negative_group') or text_number(negative)}"
                yield with_negative((id_, passage_id, "en", question, passage, name), negative, negative_id)

    return written(rows, pairs, negatives, [rows._fingerprint, name, prefix, layout, columns, max_chars], desc=name)


def text_number(text: str) -> str:
    """16 hexadecimal digits that equal texts share; two of 40 M different ones meet with probability 4e-5."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def stretch_at(text: str, start: int, max_chars: int, language: str = "en") -> str:
    """The stretch of the text that holds the character `start`, white space made single blanks."""
    begin, end = next(span for span in reversed(_stretches(text, max_chars, language)) if span[0] <= start or span[0] == 0)
    return " ".join(text[begin:end].split())


@lru_cache(maxsize=64)  # the questions of one text follow each other
def _stretches(text: str, max_chars: int, language: str) -> list[tuple[int, int]]:
    """[start, end) of sentences taken together up to `max_chars`; a longer sentence is cut at white space where there is any."""
    if len(text) <= max_chars:
        return [(0, len(text))]
    pieces = [piece for span in sentence_spans(text, language) for piece in _pieces(text, *span, max_chars)]
    found = [pieces[0]]
    for start, end in pieces[1:]:
        if len(text[found[-1][0] : end].rstrip()) <= max_chars:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _pieces(text: str, start: int, end: int, max_chars: int) -> list[tuple[int, int]]:
    found = []
    while len(text[start:end].rstrip()) > max_chars:
        cut = text.rfind(" ", start + 1, start + max_chars + 1) + 1 or start + max_chars
        found.append((start, cut))
        start = cut
    return [*found, (start, end)]


def spans(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """SQuAD: a text and where in it answers start."""
    return _at((row[columns["answers"]] or {}).get("answer_start") or (), row, columns, stretch)


def labels(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """MRQA 2019: as SQuAD, but each answer lists all the places where it stands."""
    return _at([start for label in row[columns["answers"]] or () for start in label["start"] or ()], row, columns, stretch)


def quoted(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A text and answers by their words; those that are not in the text tell no passage."""
    text = row[columns["passage"]]
    places = [text.find(answer) for answer in row[columns["answers"]] or () if (answer or "").strip()]
    return _at([place for place in places if place >= 0], row, columns, stretch)


def _at(starts: Sequence[int], row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """The passage in which the first answer starts."""
    return (row[columns["question"]], stretch(row[columns["passage"]], starts[0]), "") if len(starts) else None


def answers(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A question and the passage that answers it; a wrong one beside it where the set has some."""
    negative = row.get(columns.get("negative", "")) or ""
    return row[columns["question"]], stretch(row[columns["passage"]], 0), stretch(negative, 0)


def contexts(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """DPR and Tevatron: lists of right and of wrong passages, each with title and text, the best first."""
    right, wrong = (row[columns[side]] or () for side in ("positives", "negatives"))
    return (row[columns["question"]], _titled(right[0], stretch), _titled(wrong[0], stretch) if wrong else "") if right else None


def _titled(passage: dict, stretch: Stretch) -> str:
    title, text = (passage.get("title") or "").strip(), passage["text"] or ""
    return stretch(f"{title}. {text}" if title else text, 0)


def judged(rows: Dataset, columns: dict[str, str]) -> Dataset:
    """Candidate sentences judged right or wrong -> a row for each right one, with the question's first wrong one as `negative`.

    `group`: a number that the right sentences of one question share; `negative_group`: that of a wrong one which is right elsewhere, else
    "". Reads the whole table: such sets are small.
    """
    from datasets import Dataset

    frame = rows.to_pandas().rename(columns={name: part for part, name in columns.items()})
    wrong = frame[frame["label"] == 0].drop_duplicates("id").set_index("id")["passage"]
    right = frame[frame["label"] == 1].reset_index(drop=True)
    group = answer_groups(pd.factorize(right["id"])[0], pd.factorize(right["passage"])[0])
    right = right.assign(group=group.astype(str), negative=right["id"].map(wrong).fillna(""))
    known = right.drop_duplicates("passage").set_index("passage")["group"]
    right = right.assign(
        negative_group=right["negative"].map(known).fillna(""), id=right["id"] + "-" + right.groupby("id").cumcount().astype(str)
    )
    return Dataset.from_pandas(right[["id", "question", "passage", "negative", "group", "negative_group"]], preserve_index=False)


LAYOUTS = {"spans": spans, "labels": labels, "quoted": quoted, "answers": answers, "contexts": contexts, "judged": answers}


def pair_table(rows: Iterable[tuple[str, ...]], features: Features) -> dict[str, list[str]]:
    """Rows in the order of PAIR_COLUMNS and NEGATIVE_COLUMNS as columns, those beyond `features` left out."""
    rows = list(rows)
    return {column: [row[place] for row in rows] for place, column in enumerate(features)}


def with_negative(pair: tuple[str, ...], negative: str, negative_id: str) -> tuple[str, ...]:
    """A row of PAIR_COLUMNS with its negative, none where that is the passage itself."""
    unfit = not negative or negative == pair[4] or negative_id == pair[1]
    return (*pair, "", "") if unfit else (*pair, negative, negative_id)


def written(rows: Dataset, pairs: Callable[[dict, list[int]], Iterator[tuple[str, ...]]], negatives: bool, recipe: list, **how) -> Dataset:
    """What `pairs` makes of batches of rows and their numbers, found again by its recipe; how: arguments of `Dataset.map`."""
    from datasets import Features, Value

    features = Features(dict.fromkeys(PAIR_COLUMNS + (NEGATIVE_COLUMNS if negatives else []), Value("string")))
    return rows.map(
        lambda batch, numbers: pair_table(pairs(batch, numbers), features),
        batched=True,
        with_indices=True,
        remove_columns=rows.column_names,
        features=features,
        new_fingerprint=fingerprint([*recipe, negatives, code_fingerprint(hub_pairs)])[:16],
        **how,
    )


class Texts:
    """Texts by id from a memory-mapped table of columns id (integers), text."""

    def __init__(self, table: Dataset):
        self.table, self.ids = table, _column(table, "id")
        self.order = np.argsort(self.ids, kind="stable")
        self.chunks = table.data.column("text").chunks
        self.starts = np.cumsum([0, *map(len, self.chunks)])

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """[n] row of each id, -1 where the table has none."""
        place = np.minimum(np.searchsorted(self.ids, ids, sorter=self.order), len(self.ids) - 1)
        rows = self.order[place]
        return np.where(self.ids[rows] == ids, rows, -1)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """[n] object: text of each id, None where the table has none. Chunk by chunk: no list of 32-bit offsets can overflow."""
        rows, texts = self.rows(ids), np.full(len(ids), None, dtype=object)
        chunk = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(chunk[rows >= 0]):
            here = np.flatnonzero(chunk == number)
            texts[here] = self.chunks[number].take(rows[here] - self.starts[number]).to_numpy(zero_copy_only=False)
        return texts

    def equal(self) -> np.ndarray:
        """[rows] number of each row's text: that of the first row with the same text (by a 64-bit hash)."""
        hashes = np.concatenate([pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False) for chunk in self.chunks])
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        return first[inverse]


class Triples:
    """table: rows of query, positive, negative (ids). numbers: [n] their rows in the whole set. right, wrong: [n] numbers of their
    passages, in every language the same. made: what decides the numbers. collection: the passages in one language.
    """

    def __init__(self, name: str, table: Dataset, numbers: np.ndarray, collection: Texts):
        self.name, self.table, self.numbers = name, table, numbers
        self.right, self.wrong = _passage_numbers(collection, *(_column(table, column) for column in HEADER))
        self.made = [table._fingerprint, collection.table._fingerprint]


def triple_pairs(
    entry: TrainingSet, languages: Sequence[str], data_dir: str, max_chars: int, max_pairs: int, share: float, seed: int, negatives: bool
) -> Dataset:
    """Pairs of a set of triples in some languages: each triple is an id, with the same `passage_id` in every language.

    Passages are known as equal by their texts in the first language. A row whose question or passage a language lacks is left out there;
    a negative that answers the same question is none.
    """
    from datasets import concatenate_datasets

    name, table = entry.name, _numbers(entry.name, "triples", entry.part("triples", HEADER, data_dir, header=HEADER), HEADER)
    numbers = chosen(len(table), drawn_size(len(table), max_pairs, share), seed)
    table, known, parts = table.select(numbers) if len(numbers) < len(table) else table, None, []
    for code in languages:
        tables = {part: entry.part(part, COLUMNS, data_dir, entry.languages[code], COLUMNS) for part in ("queries", "collection")}
        texts = [Texts(_numbers(name, part, rows, ("id",))) for part, rows in tables.items()]
        known = known or Triples(name, table, numbers, texts[1])
        parts.append(_in_language(known, code, *texts, max_chars, negatives))
    return concatenate_datasets(parts)


def _numbers(name: str, part: str, table: Dataset, columns: Sequence[str]) -> Dataset:
    """The table, whose columns of ids must hold whole numbers; raises InputError naming the first that does not."""
    for column in columns:
        if not table.features[column].dtype.startswith("int"):
            raise InputError(
                f"{name}, {part}: column {column!r} should hold whole numbers, found {table.features[column].dtype}, such as "
                f"{table[0][column]!r}. Take the revision that data/training_sets.toml names, or lay the local folder out as on the hub."
            )
    return table


def _column(table: Dataset, column: str) -> np.ndarray:
    return np.concatenate([part[column].to_numpy() for part in chunks(table, [column])])


def _passage_numbers(collection: Texts, query: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([n], [n]) numbers of the right and the wrong passages: equal texts, and right passages of one question, share a number.

    A passage that the collection lacks has one of its own: as text 0, it would join the answers of all questions that lack theirs.
    """
    equal, queries = collection.equal(), pd.factorize(query)[0].astype(np.int64)
    sides = [(ids, collection.rows(ids)) for ids in (positive, negative)]
    lacking = np.unique(np.concatenate([ids[rows < 0] for ids, rows in sides]))
    right, wrong = (np.where(rows >= 0, equal[rows], len(equal) + np.searchsorted(lacking, ids)) for ids, rows in sides)
    count = len(equal) + len(lacking)
    answer = np.unique(queries * count + right)
    groups = answer_groups(answer // count, answer % count)
    number = groups.max() + 1 + np.arange(count)  # of passages that answer nothing
    number[answer % count] = groups
    return number[right], number[wrong]


def _in_language(triples: Triples, code: str, queries: Texts, collection: Texts, max_chars: int, negatives: bool) -> Dataset:
    """The triples as pairs in one language, put together BATCH by BATCH."""
    stretch, name = partial(stretch_at, max_chars=max_chars, language=code), triples.name

    def pairs(batch: dict[str, np.ndarray], rows: list[int]) -> Iterator[tuple[str, ...]]:
        wrong = collection.take(batch["negative"]) if negatives else np.full(len(rows), None)
        for row, *texts in zip(rows, queries.take(batch["query"]), collection.take(batch["positive"]), wrong, strict=True):
            question, passage, negative = (stretch(text, 0) if text else "" for text in texts)
            right_id, wrong_id = f"{name}:{triples.right[row]}", f"{name}:{triples.wrong[row]}"
            if question and passage:
                yield with_negative((f"{name}:{triples.numbers[row]}", right_id, code, question, passage, name), negative, wrong_id)

    table = triples.table.with_format("numpy")
    recipe = [*triples.made, queries.table._fingerprint, collection.table._fingerprint, code, max_chars]
    return written(table, pairs, negatives, recipe, batch_size=BATCH, desc=f"{name} {code}").with_format(None)
