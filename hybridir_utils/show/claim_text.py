"""The judged claims as Markdown: the rules, one source's evidence, and the overview that the README shows."""

from __future__ import annotations

import pandas as pd

from .tables import markdown
from .verdicts import SYMBOLS


def claims_markdown(table: pd.DataFrame) -> str:
    """One row a claim, one column a source, the verdict as a symbol and in words. table: `claims.claims_table`."""
    marked = table.assign(verdict=[f"{SYMBOLS[word]} {word}" for word in table["verdict"]])
    wide = marked.pivot(index=["claim", "statement"], columns="source", values="verdict")[list(dict.fromkeys(table["source"]))]
    return markdown(wide)


def evidence_markdown(table: pd.DataFrame) -> str:
    """Claim, source, verdict and evidence, one row each, and below the commands that make each source's results again."""
    rows = table.assign(verdict=[f"{SYMBOLS[word]} {word}" for word in table["verdict"]])
    commands = table.drop_duplicates("source").set_index("source")["command"]
    told = "".join(f"- {source}: `{command}`\n" for source, command in commands.items())
    columns = ["statement", "verdict", "evidence"] if len(commands) == 1 else ["statement", "source", "verdict", "evidence"]
    return f"{markdown(rows.set_index('claim')[columns])}\nReproduced by:\n\n{told}"


def rules_markdown(claims, notes) -> str:
    """Claim and rule, one row each, and what holds for all of them. claims, notes: `claims.CLAIMS`, `claims.NOTES`."""
    rows = pd.DataFrame([(claim.number, claim.statement, claim.rule) for claim in claims], columns=["claim", "statement", "supported when"])
    return markdown(rows.set_index("claim")) + "".join(f"\n{note}\n" for note in notes)
