"""Checks of translated pairs: what a translator left out, copied, or put into the wrong script or language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import regex

from ..base.errors import InputError, UnknownName
from ..base.mapped import holds, keep_rows
from .language_id import other_languages

if TYPE_CHECKING:
    from datasets import Dataset

CHECKS = ["empty", "copied", "wrong_script", "wrong_language", "length_ratio", "duplicate", "ambiguous_question"]
REJECTION_COLUMNS = ["id", "language", "field", "check", "detail", "text"]
SCRIPT_SHARE = 0.3  # of the letters. A Thai sentence keeps more than that beside "EUR" or a product name; an English one has none
LENGTH_BOUNDS = (0.3, 3.0)  # times the language's median ratio of target to source characters
LENGTH_SLACK = 10  # characters added to both lengths: "ja" for "Japanese language" says nothing about a sentence

# ISO 15924 codes that stand for several Unicode scripts, or for a variant of one
_UNICODE_SCRIPTS = {"Hans": ["Hani"], "Hant": ["Hani"], "Jpan": ["Hani", "Hira", "Kana"], "Kore": ["Hang", "Hani"]}
_LETTER = regex.compile(r"\p{L}")


def check_pairs_quality(pairs: Dataset, source: str = "en") -> pd.DataFrame:
    """Rejected texts of parallel pairs, one row per (text, check): id, language, field, check, detail, text.

    pairs: one row per (id, language) with columns id, language, question, passage; field is question or passage.

    * empty: no text. Other checks leave such texts alone.
    * copied: equal to the source text (which has letters), in another language than the source.
    * wrong_script: fewer than SCRIPT_SHARE of the letters are in the language's script (CLDR likely subtags).
    * wrong_language: py3langid is sure of another language (language_id.py says from where on, and how often that is wrong). Texts
      that are copied or in the wrong script are not judged again, nor those of `unchecked_languages`.
    * length_ratio: (target + LENGTH_SLACK) / (source + LENGTH_SLACK) characters, divided by the median of the language
      and field, outside LENGTH_BOUNDS.
    * duplicate: question and passage of an earlier id of the same language. ambiguous_question: question of an earlier
      id with another passage, a false negative in any batch that holds both. The first id is kept.

    Raises InputError when a column is missing, an (id, language) stands twice or an id has no row in `source`;
    UnknownName for a language whose script CLDR does not know.
    """
    texts = _long_form(pairs, source)
    filled = texts[texts["text"] != ""]
    translated = filled[filled["language"] != source]
    copied = _copied(translated)
    other_script = [_wrong_script(rows, language) for language, rows in translated.groupby("language", sort=False)]
    unsuspected = translated.drop(pd.concat([copied, *other_script]).index)
    found = [
        _rejected(texts[texts["text"] == ""], "empty", "no text"),
        copied,
        *other_script,
        *(_wrong_language(rows, language) for language, rows in unsuspected.groupby("language", sort=False)),
        _length_ratio(translated),
        _repeated_questions(filled),
    ]
    rejections = pd.concat(found, ignore_index=True)
    order = pd.Categorical(rejections["check"], categories=CHECKS, ordered=True)
    return rejections.assign(check=order).sort_values(["check", "language"], kind="stable", ignore_index=True).astype({"check": "str"})


def accepted(pairs: Dataset, rejections: pd.DataFrame) -> Dataset:
    """The pairs without each (id, language) row that has a rejection; translations of a dropped row stay."""
    return keep_rows(pairs, ~holds(pairs, rejections[["id", "language"]]))


def rejection_counts(rejections: pd.DataFrame) -> pd.DataFrame:
    """Number of rejected texts, languages as rows and CHECKS as columns."""
    return pd.crosstab(rejections["language"], rejections["check"]).reindex(columns=CHECKS, fill_value=0)


def _long_form(pairs: Dataset, source: str) -> pd.DataFrame:
    """One row per text: id, language, field, text, source_text; texts stripped, null as empty."""
    columns = ["id", "passage_id", "language", "question", "passage"]
    missing = [column for column in columns if column not in pairs.column_names]
    if missing:
        raise InputError(f"pairs: no column {missing[0]!r}; expected {columns}, found {pairs.column_names}.")
    frame = pairs.select_columns(columns).to_pandas()
    repeated = frame.duplicated(["id", "language"])
    if repeated.any():
        row = frame[repeated].iloc[0]
        raise InputError(f"pairs: id {row['id']!r} stands twice in language {row['language']!r}; keep one row per id and language.")
    texts = frame.melt(["id", "passage_id", "language"], ["question", "passage"], var_name="field", value_name="text")
    texts["text"] = texts["text"].fillna("").str.strip()
    originals = texts[texts["language"] == source].drop(columns=["language", "passage_id"]).rename(columns={"text": "source_text"})
    texts = texts.merge(originals, on=["id", "field"], how="left")
    alone = texts["source_text"].isna()
    if alone.any():
        row = texts[alone].iloc[0]
        raise InputError(f"pairs: id {row['id']!r} ({row['language']}) has no row in the source language {source!r} to compare with.")
    return texts


def _rejected(rows: pd.DataFrame, check: str, detail: Sequence[str] | str) -> pd.DataFrame:
    return rows.assign(check=check, detail=detail)[REJECTION_COLUMNS]


def _copied(rows: pd.DataFrame) -> pd.DataFrame:
    same = rows["text"].str.casefold() == rows["source_text"].str.casefold()
    has_letters = rows["text"].str.contains(r"[^\W\d_]", regex=True)
    return _rejected(rows[same & has_letters], "copied", "equal to the source text")


def _wrong_script(rows: pd.DataFrame, language: str) -> pd.DataFrame:
    scripts = _scripts(language)
    ours = regex.compile(r"(?V1)[\p{L}&&[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]]")
    letters = rows["text"].map(lambda text: len(_LETTER.findall(text)))
    share = rows["text"].map(lambda text: len(ours.findall(text))) / letters.where(letters > 0)
    wrong = share < SCRIPT_SHARE
    details = [f"{value:.2f} of the letters are {'/'.join(scripts)}, expected {SCRIPT_SHARE} or more" for value in share[wrong]]
    return _rejected(rows[wrong], "wrong_script", details)


def _wrong_language(rows: pd.DataFrame, language: str) -> pd.DataFrame:
    others = other_languages(rows["text"].tolist(), language)
    details = [f"{found} with probability {probability:.2f}" for found, probability in others.itertuples(index=False)]
    return _rejected(rows.iloc[others.index], "wrong_language", details)


def _length_ratio(rows: pd.DataFrame) -> pd.DataFrame:
    ratio = (rows["text"].str.len() + LENGTH_SLACK) / (rows["source_text"].str.len() + LENGTH_SLACK)
    relative = ratio / ratio.groupby([rows["language"], rows["field"]]).transform("median")
    outside = ~relative.between(*LENGTH_BOUNDS)
    details = [f"{value:.2f} times the language's median length ratio, expected {LENGTH_BOUNDS}" for value in relative[outside]]
    return _rejected(rows[outside], "length_ratio", details)


def _repeated_questions(rows: pd.DataFrame) -> pd.DataFrame:
    """Questions that an earlier id asks, too. Ids that share a passage_id never meet in a batch: there a question may come again, as
    the triples of mMARCO have it, one for each hard negative.
    """
    keys = ["id", "passage_id", "language"]
    wide = rows.pivot(index=keys, columns="field", values="text").reindex(columns=["question", "passage"]).dropna()
    order = pd.MultiIndex.from_frame(rows[keys]).unique()
    wide = wide.reindex(order).dropna().reset_index().assign(field="question").rename(columns={"question": "text"})
    first = wide.groupby(["language", "text"], sort=False)[["id", "passage_id", "passage"]].transform("first")
    repeated = first["passage_id"] != wide["passage_id"]
    same_passage = wide.duplicated(["language", "text", "passage"])
    details = "same question as id " + first["id"].astype(str)
    duplicate, ambiguous = repeated & same_passage, repeated & ~same_passage
    return pd.concat(
        [
            _rejected(wide[duplicate], "duplicate", details[duplicate]),
            _rejected(wide[ambiguous], "ambiguous_question", details[ambiguous]),
        ]
    )


def _scripts(language: str) -> list[str]:
    """Unicode scripts of a language code such as th, zh or sr_Latn: the script it names, else CLDR's likely one."""
    from babel.core import get_global

    code, *subtags = language.replace("-", "_").split("_")
    likely = get_global("likely_subtags")
    if code not in likely:
        raise UnknownName("language", language, sorted(known for known in likely if len(known) == 2))
    script = next((subtag.title() for subtag in subtags if len(subtag) == 4), likely[code].split("_")[1])
    return _UNICODE_SCRIPTS.get(script, [script])
