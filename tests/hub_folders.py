"""Local folders laid out as the repositories of `data/training_sets.toml`, with the columns and types those have."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hybridir_utils.data.public_pairs import TRAINING_SETS

CONTEXT = "Rome lies in Italy. It is old. Paris lies in France and has a tower. The Seine flows through it."


def parquet(path: Path, rows: list[dict], schema: pa.Schema | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=1000)


def squad_rows(n: int, key: str = "q") -> list[dict]:
    """n questions to n texts that differ in their first sentence; the answer stands in the third."""
    return [
        {
            "id": f"{key}{i}",
            "title": "t",
            "context": f"Number {i}. {CONTEXT}",
            "question": f"Where does Paris {i} lie?",
            "answers": {"text": ["France"], "answer_start": [f"Number {i}. {CONTEXT}".index("France")]},
        }
        for i in range(n)
    ]


def squad(folder: Path) -> None:
    parquet(
        folder / "plain_text" / "train-00000-of-00001.parquet",
        [*squad_rows(6), squad_rows(1, "empty")[0] | {"answers": {"text": [], "answer_start": []}}],
    )


def squadshifts(folder: Path) -> None:
    for part in ("new_wiki", "nyt", "reddit", "amazon"):
        parquet(folder / part / "test" / "0000.parquet", squad_rows(3))


def newsqa(folder: Path) -> None:
    start = CONTEXT.index("Italy")
    rows = [
        {
            "context": CONTEXT,
            "question": f"Where is Rome {i}?",
            "answers": ["Italy"],
            "key": f"k{i}",
            "labels": [{"end": [start + 4], "start": [start]}],
        }
        for i in range(4)
    ]
    parquet(folder / "data" / "train-00000-of-00001-ec54fbe500fc3b5c.parquet", rows)


def natural_questions(folder: Path) -> None:
    rows = [{"query": f"who made {i}", "answer": f"Somebody made {i // 2}. More text about it."} for i in range(6)]
    parquet(folder / "pair" / "train-00000-of-00001.parquet", [*rows, {"query": "an empty one", "answer": " "}])


def mfaq(folder: Path) -> None:
    rows = [
        {"domain_id": i // 2, "pair_id": i % 2, "language": "en", "domain": "a.org", "question": f"How {i}?", "answer": f"So {i}."}
        for i in range(6)
    ]
    for shard in range(2):
        parquet(folder / "en_flat" / f"mfaq-train-0000{shard}-of-00002.parquet", rows[shard * 3 : shard * 3 + 3])


def mr_tydi(folder: Path) -> None:
    def passage(i: int, text: str) -> dict:
        return {"docid": f"{i}#0", "text": text, "title": f"Title {i}"}

    rows = [
        {
            "query_id": str(i),
            "query": f"What is {i}?",
            "positive_passages": [passage(i, f"It is {i}.")],
            "negative_passages": [passage(90 + i, f"It is not {i}.")] if i else [],
        }
        for i in range(4)
    ]
    path = folder / "mrtydi-v1.1-english" / "train.jsonl.gz"
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def entityquestions(folder: Path) -> None:
    def context(i: int, text: str) -> dict:
        return {"title": f"Title {i}", "text": text, "score": 1.0, "passage_id": str(i)}

    (folder / "train").mkdir(parents=True)
    for relation in ("P17", "P19"):
        rows = [
            {
                "question": f"{relation} {i}?",
                "answers": ["x"],
                "positive_ctxs": [context(i, f"{relation} of {i} is x.")] if i else [],
                "negative_ctxs": [],
                "hard_negative_ctxs": [context(90 + i, f"{relation} of {i} is unknown.")],
            }
            for i in range(3)
        ]
        (folder / "train" / f"{relation}.json").write_text(json.dumps(rows), encoding="utf-8")


def wikiqa(folder: Path) -> None:
    """Q1 has two right sentences, of which Q2 shares one and calls the other wrong; Q3 has none."""
    judged = {"Q1": ("ab", "x"), "Q2": ("b", "ayz"), "Q3": ("", "x"), "Q4": ("c", "")}
    rows = [
        {
            "question_id": question,
            "question": f"What of {question}?",
            "document_title": "t",
            "answer": f"Sentence {sentence}.",
            "label": label,
        }
        for question, sides in judged.items()
        for label, side in ((0, sides[1]), (1, sides[0]))
        for sentence in side
    ]
    for part, some in (("train", rows[:4]), ("validation", rows[4:7]), ("test", rows[7:])):
        parquet(folder / "data" / f"{part}-00000-of-00001.parquet", some)


def duorc(folder: Path) -> None:
    rows = [
        {
            "plot_id": "/m/1",
            "plot": CONTEXT,
            "title": "Cities",
            "question_id": f"d{i}",
            "question": f"Where does it lie {i}?",
            "answers": answers,
            "no_answer": not answers,
        }
        for i, answers in enumerate((["Italy"], ["France"], [], ["Spain", "a tower"], ["Spain"]))
    ]
    strings = pa.list_(pa.string())
    kinds = {"answers": strings, "no_answer": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]])
    parquet(folder / "SelfRC" / "train-00000-of-00001.parquet", rows, schema)


MARCO_LANGUAGES = ("english", "german", "arabic")
# query, right and wrong passage; 7 has the text of 1, question 3 has two right passages, 9 is nowhere
MARCO_TRIPLES = [(10, 1, 4), (10, 1, 5), (20, 2, 1), (30, 3, 6), (30, 6, 5), (40, 7, 4), (50, 5, 9)]


def mmarco(folder: Path) -> None:
    def table(path: str, rows: list[tuple]) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8", newline="")

    table("data/triples.train.ids.small.tsv", MARCO_TRIPLES)
    for language in MARCO_LANGUAGES:
        texts = {i: f'"{language}" passage {1 if i == 7 else i}' for i in range(9)} | {0: "NA"}
        if language == "arabic":
            texts |= {2: " "}  # a passage that was not translated
        table(f"data/google/collections/{language}_collection.tsv", list(texts.items()))
        table(f"data/google/queries/train/{language}_queries.train.tsv", [(i, f"{language} query {i}") for i in (50, 10, 30, 20, 40)])


MAKERS = {
    "mmarco": mmarco, "squad": squad, "newsqa": newsqa, "natural-questions": natural_questions, "entityquestions": entityquestions,
    "mfaq": mfaq, "mr-tydi": mr_tydi, "wikiqa": wikiqa, "duorc": duorc, "squadshifts": squadshifts,
}  # fmt: skip


def make_folders(base: Path) -> Path:
    """Every set of the catalogue below `base`."""
    assert set(MAKERS) == set(TRAINING_SETS)
    for name, make in MAKERS.items():
        (base / name).mkdir()
        make(base / name)
    return base
