"""Judging the claims: what notebook 09 calls, every claim in every source by the same rules, and how the verdicts are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ...results.tables import markdown
from .claims import CLAIMS, NOTES
from .facts import counts_by_task, leaks_rechecked, mixture, task_counts
from .rules import zero_shot_tasks
from .sources import Source, about_sources, check_earlier, other_runs, paper_sources, saved_source
from .tests import CONTRADICTED, SUPPORTED, SYMBOLS, below_hybrid, claim_tests, language_tests

__all__ = [  # of the modules beside this one, for the notebook
    "about_sources", "below_hybrid", "check_earlier", "claim_tests", "counts_by_task", "language_tests", "leaks_rechecked", "mixture",
    "other_runs", "paper_sources", "saved_source", "task_counts", "zero_shot_tasks",
]  # fmt: skip
PART_COLUMNS = ["claim", "source", "task", "base", "setting", "language", "better", "worse", "verdict"]
COLUMNS = ["claim", "statement", "source", "verdict", "evidence", "command"]


def claims_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Every claim judged in every source by the same rules: COLUMNS, one row per (claim, source)."""
    found = [(claim, source, claim.verdict(source)) for claim in CLAIMS for source in sources]
    rows = [(claim.number, claim.statement, source.name, found.word, found.evidence, source.command) for claim, source, found in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def parts_table(sources: Sequence[Source]) -> pd.DataFrame:
    """PART_COLUMNS: what was found of each comparison that a claim over several tasks and bases rests on."""
    found = [(claim.number, source.name, *part) for claim in CLAIMS for source in sources for part in claim.verdict(source).parts]
    return pd.DataFrame(found, columns=PART_COLUMNS)


def parts_matrix(parts: pd.DataFrame) -> pd.DataFrame:
    """Which part of a claim holds: claim, source and task as rows, bases as columns; in a cell, how many comparisons have each verdict."""
    keys = ["claim", "source", "task", "base"]
    counts = parts.groupby([*keys, "verdict"], sort=False).size().unstack("verdict", fill_value=0)
    words = [word for word in SYMBOLS if word in counts]
    cells = [" ".join(f"{SYMBOLS[word]} {row[word]}" for word in words if row[word]) for _, row in counts.iterrows()]
    return pd.Series(cells, index=counts.index, dtype=object).unstack("base", fill_value="")


def on_claims(table: pd.DataFrame) -> list[str]:
    """What each source says of each claim, those it cannot test apart; and where a run and the paper's own tables part."""
    sentences = []
    for source, rows in table.groupby("source", sort=False):
        by_word = {word: rows[rows["verdict"] == word]["claim"].tolist() for word in SYMBOLS}
        told = [f"{word}: {', '.join(map(str, numbers)) or 'none'}" for word, numbers in by_word.items()]
        sentences.append(f"{source}: {'; '.join(told)}.")
    return sentences + _against_each_other(table)


def on_refused(refused: Mapping[str, str]) -> list[str]:
    """Which runs were left out, and why. refused: of `sources.other_runs`."""
    return [f"left out: {name}: {reason}" for name, reason in refused.items()] or ["No run had to be left out."]


def _against_each_other(table: pd.DataFrame) -> list[str]:
    """Claims that one source supports and another contradicts."""
    tested = table[table["verdict"].isin([SUPPORTED, CONTRADICTED])]
    split = [rows for _, rows in tested.groupby("claim") if rows["verdict"].nunique() > 1]
    if not split:
        return ["No source contradicts what another supports."]
    parts = []
    for rows in split:
        named = rows.groupby("verdict")["source"].agg("; ".join)
        parts.append(f"claim {rows['claim'].iloc[0]} (supported in {named[SUPPORTED]}; contradicted in {named[CONTRADICTED]})")
    return [f"Sources disagree on {', '.join(parts)}."]


def claims_markdown(table: pd.DataFrame) -> str:
    """One row a claim, one column a source, the verdict as a symbol and in words. table: `claims.claims_table`."""
    marked = table.assign(verdict=[f"{SYMBOLS.get(word, '')} {word}" for word in table["verdict"]])
    wide = marked.pivot(index=["claim", "statement"], columns="source", values="verdict")[list(dict.fromkeys(table["source"]))]
    return markdown(wide)


def evidence_markdown(table: pd.DataFrame) -> str:
    """Claim, source, verdict and evidence, one row each, and below the commands that make each source's results again."""
    rows = table.assign(verdict=[f"{SYMBOLS.get(word, '')} {word}" for word in table["verdict"]])
    commands = table.drop_duplicates("source").set_index("source")["command"]
    told = "".join(f"- {source}: `{command}`\n" for source, command in commands.items())
    columns = ["statement", "verdict", "evidence"] if len(commands) == 1 else ["statement", "source", "verdict", "evidence"]
    return f"{markdown(rows.set_index('claim')[columns])}\nReproduced by:\n\n{told}"


def rules_markdown() -> str:
    """Claim and rule, one row each, and what holds for all of them."""
    rows = pd.DataFrame([(claim.number, claim.statement, claim.rule) for claim in CLAIMS], columns=["claim", "statement", "supported when"])
    return markdown(rows.set_index("claim")) + "".join(f"\n{note}\n" for note in NOTES)


def show(text: str):
    """Markdown, shown."""
    from IPython.display import Markdown

    return Markdown(text)


def show_evidence(sources: Sequence[Source], otherwise: str = ""):
    """The sources' verdicts with their evidence; a sentence where there is no source."""
    return show(evidence_markdown(claims_table(sources)) if sources else f"- {otherwise}")
