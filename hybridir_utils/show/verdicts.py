"""The three verdicts on a claim."""

from __future__ import annotations

from typing import NamedTuple

SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE = "supported", "not supported", "not testable here"
SYMBOLS = {SUPPORTED: "✓", NOT_SUPPORTED: "✗", NOT_TESTABLE: "–"}


class Verdict(NamedTuple):
    """One of SYMBOLS, and the rows, tests and numbers it rests on."""

    word: str
    evidence: str


def decided(holds: bool, evidence: str) -> Verdict:
    """Supported where the rule holds, else not supported."""
    return Verdict(SUPPORTED if holds else NOT_SUPPORTED, evidence)


def undecided(reason: str) -> Verdict:
    """Not testable here, and why."""
    return Verdict(NOT_TESTABLE, reason)
