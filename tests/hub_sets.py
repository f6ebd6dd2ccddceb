"""Folders laid out as the hub's public sets are: a card that names the files of each configuration, and Parquet or JSON lines."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import yaml

FACTS = ["water", "fire", "stone", "tree", "bird", "fish"]  # passage i of a corpus is about the i-th of them


def write_parts(folder: Path, parts: dict[tuple[str, str], pd.DataFrame], kind: str = "parquet") -> Path:
    """Files and card of a set: (configuration, split) -> rows."""
    configs = []
    for (config, split), frame in parts.items():
        path = folder / config / f"{split}-00000-of-00001.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path) if kind == "parquet" else frame.to_json(path, orient="records", lines=True, force_ascii=False)
        configs.append({"config_name": config, "data_files": [{"split": split, "path": f"{config}/{split}-*"}]})
    folder.joinpath("README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n# A set\n", encoding="utf-8")
    return folder


def retrieval_parts(subset: str, split: str, prefix: str = "", id_column: str = "id") -> dict[tuple[str, str], pd.DataFrame]:
    """A corpus of FACTS, two questions with graded judgements, in the layout of mteb's repositories."""
    corpus = pd.DataFrame(
        {id_column: [f"d{i}" for i in range(len(FACTS))], "title": FACTS, "text": [f"{prefix} {fact} is wet" for fact in FACTS]}
    )
    queries = pd.DataFrame({id_column: ["1", "2", "3"], "text": ["about water", "about stone", "about nothing"]})
    rows = [("1", "d0", 2), ("1", "d1", 1), ("1", "d4", 0), ("2", "d2", 1), ("3", "d0", 0), ("1", "not-in-the-pool", 0)]
    qrels = pd.DataFrame(rows, columns=["query-id", "corpus-id", "score"])
    name = f"{subset}-" if subset else ""
    return {(f"{name}corpus", split): corpus, (f"{name}queries", split): queries, (f"{name}qrels" if subset else "default", split): qrels}


def write_mkqa(folder: Path, languages: dict[str, list[dict]]) -> Path:
    """BGE-M3's archive of questions: language -> rows (id, lang, question, answers)."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "MKQA_test-data.zip", "w") as archive:
        for language, rows in languages.items():
            archive.writestr(f"{language}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return folder
