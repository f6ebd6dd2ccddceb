"""The eleven claims of arXiv 2408.10536 (PAPER §6), each with the rule that decides it in words and the function that applies it; judging
them in every source by the same rules (notebook 09), and how the verdicts are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ...experiment.evaluation import evaluate
from ...experiment.preparation import prepare_pairs
from ...experiment.run import Run
from ...rank.significance import LEVEL
from ...results.show import Shown, folded, paragraph, table, together
from ...results.tables import markdown
from . import facts, rules
from .facts import counts_by_task, leaks_rechecked, mixture, task_counts
from .rules import CONTRADICTED, SUPPORTED, SYMBOLS, Verdict, not_testable, zero_shot_tasks
from .sources import (
    PAPER,
    Source,
    about_sources,
    below_hybrid,
    check_earlier,
    claim_tests,
    language_tests,
    other_runs,
    paper_sources,
    saved_source,
)

# Of the modules beside this one, for the notebook:
__all__ = ["about_sources", "below_hybrid", "counts_by_task", "other_runs", "paper_sources", "saved_source"]
PART_COLUMNS = ["claim", "source", "task", "base", "setting", "language", "better", "worse", "verdict", *rules.LEFT_OPEN]
COLUMNS = ["claim", "statement", "source", "verdict", "evidence", "command"]
NO_TRAINING_DATA = "Neither training data nor batches were published."


@dataclass(frozen=True)
class Claim:
    """A claim. tables: what `decide` reads of a source. unpublished: why published numbers lack these tables."""

    number: int
    statement: str
    rule: str
    tables: tuple[str, ...]
    decide: Callable[[Source], Verdict]
    unpublished: str = ""

    def verdict(self, source: Source) -> Verdict:
        """The source's verdict; not testable where it lacks a table."""
        missing = [name for name in self.tables if name not in source.tables]
        if not missing:
            return self.decide(source)
        if source.published:
            return not_testable(self.unpublished)
        return not_testable(f"Its saved results lack {', '.join(f'`{name}`' for name in missing)}; made again, they have it.")


CLAIMS = (
    Claim(
        1,
        "Models are fine-tuned on a mix of monolingual and cross-lingual question-answer batches, data sets sampled by their size.",
        "In the hybrid plans of all seeds, counted row by row: every batch is within one language or crosses languages in every pair, the "
        "share of monolingual ones is within chance of α (0 < α < 1), and each data set's share of the batches of a kind within chance of "
        f"its share of the pairs that kind can use. Within chance: exact binomial test, Holm p of at least {LEVEL:g} over all "
        "shares; by 95 % intervals alone, one share in twenty would fall outside with nothing wrong. So few batches that the interval of "
        f"the monolingual share is wider than {facts.WIDEST:g} tell nothing.",
        ("mixture",),
        facts.batch_mix,
        NO_TRAINING_DATA,
    ),
    Claim(
        2,
        "XQuAD-R and MLQA-R hold parallel questions and passages in 11 and 7 languages.",
        "Counted in the tasks as evaluated: so many languages, and every question has a translation, a relevant sentence in its own "
        "language, and one in another.",
        ("task_counts",),
        facts.parallel_languages,
        "Its tables hold means by language; there are no questions or passages to count.",
    ),
    Claim(
        3,
        "The two sets give 110 and 42 cross-lingual and 11 and 7 monolingual settings.",
        "So many runs are averaged in the macro mAP: one a language in Mo., one an ordered pair of languages in Cr.",
        ("scores",),
        facts.settings_counted,
    ),
    Claim(
        4,
        "Mean average precision is reported for both sets.",
        "mAP of every trained strategy stands in the saved scores for both, in Mo., Cr. and Mul.",
        ("scores",),
        facts.map_reported,
    ),
    Claim(
        5,
        "The evaluation data are separate from all training data; no sample was seen before.",
        "The leak check (equal, nearly equal, or contained texts), run once more on the pairs that training reads, finds nothing.",
        ("leak_recheck",),
        facts.nothing_leaks,
        NO_TRAINING_DATA,
    ),
    Claim(
        6,
        "Monolingual (X-X) batches do well only in monolingual retrieval, cross-lingual (X-Y) batches only in cross-lingual retrieval.",
        "In every task with both settings and from every base, X-X-mono is ahead of X-Y in Mo. and X-Y ahead of X-X-mono in Cr., so that "
        "neither can be best in the other's setting.",
        ("claim_tests", "scores"),
        rules.pure_batches,
    ),
    Claim(
        7,
        "Hybrid batches are best in multilingual retrieval.",
        "In every task and from every base, hybrid is ahead of X-X-mono and of X-Y in Mul.",
        ("tests", "claim_tests", "scores"),
        rules.best_multilingual,
    ),
    Claim(
        8,
        "Hybrid batches beat both baselines from XLM-R and from LaBSE.",
        "From every base (two at least; the sample's are stand-ins), hybrid is ahead of X-X-mono and of X-Y in every task and setting: "
        "mAP, and nDCG@10 where a large pool is searched.",
        ("tests", "claim_tests", "scores"),
        rules.beats_baselines,
    ),
    Claim(
        9,
        "Hybrid batches reduce language bias substantially against monolingual (X-X) batches.",
        "In every task and from every base, hybrid is ahead of X-X-mono in rank distance (lower is better), and its rank distance at least "
        f"{rules.LEAST_REDUCTION:.0%} lower.",
        ("bias_tests", "bias"),
        rules.less_biased,
    ),
    Claim(
        10,
        "Hybrid batches give strong zero-shot retrieval across diverse languages, unseen ones included.",
        "On every set whose source was not trained on, or that is under domain shift: hybrid is ahead of BM25 and of the untrained base in "
        "every question language and setting (all have to hold, so no correction over languages), and languages that no batch held keep at "
        f"least {rules.LEAST_KEPT:.0%} of the trained languages' mean mAP in every setting and seed. One half that fails "
        "decides; one that cannot be tested leaves the claim open.",
        ("scores",),
        rules.zero_shot,
    ),
    Claim(
        11,
        "English question-answer sets are translated by machine into parallel pairs.",
        "A machine translator of the profile gives pairs in every target language, and the quality checks accept at least "
        f"{facts.LEAST_ACCEPTED:.0%} of them in each.",
        ("coverage",),
        facts.machine_translated,
        "Its translations were not published.",
    ),
)
NOTES = (
    f"*Ahead*: in a paired test over questions p is below {LEVEL:g}, and the interval of the difference over seeds excludes 0; else the "
    "two are *not clearly different*, or the first is *behind*. *p* is Holm-corrected, *d* the effect size d_z, [ ] a 95 % interval.",
    "A claim over several tasks and bases is *supported* where all of its comparisons hold, *contradicted* where one of them is the other "
    "way round (or both its intervals below what is asked), and *undecided* where neither is shown; a comparison that is not clear says "
    "what it could have shown in four of five cases, or that two one-sided tests find it practically equal.",
    "Claims 6 to 10 need two seeds at least: with one, a run's verdict is that nothing can be concluded. The paper's tables hold one run a "
    "model, and nobody can add to them: they are tested over languages, without an interval over seeds, and the evidence says so.",
)


def counted(run: Run) -> tuple[pd.DataFrame, ...]:
    """The tables COUNTED, in that order, of a run that has those of notebooks 01-04. Raises as `check_earlier` does."""
    check_earlier(run)
    prepared, questions, resamples = prepare_pairs(run), evaluate(run).table("questions"), run.profile.resamples
    by_language = language_tests(questions, zero_shot_tasks(run.profile.model_dump()), resamples)
    return mixture(run, prepared), leaks_rechecked(run, prepared), task_counts(run), claim_tests(questions, resamples), by_language


def claims_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Every claim judged in every source by the same rules: COLUMNS, one row per (claim, source)."""
    found = [(claim, source, claim.verdict(source)) for claim in CLAIMS for source in sources]
    rows = [(claim.number, claim.statement, source.name, found.word, found.evidence, source.command) for claim, source, found in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def parts_table(sources: Sequence[Source]) -> pd.DataFrame:
    """PART_COLUMNS: what was found of each comparison that a claim over several tasks and bases rests on, and of those that are undecided
    what they leave open (`rules.Comparison.left_open`; of claim 9 in ranks, else in mAP or nDCG@10).
    """
    found = [(claim.number, source.name, *part) for claim in CLAIMS for source in sources for part in claim.verdict(source).parts]
    return pd.DataFrame(found, columns=PART_COLUMNS)


def parts_matrix(parts: pd.DataFrame) -> pd.DataFrame:
    """Which part of a claim holds: claim, source and task as rows, bases as columns; in a cell, how many comparisons have each verdict."""
    keys = ["claim", "source", "task", "base"]
    counts = parts.groupby([*keys, "verdict"], sort=False).size().unstack("verdict", fill_value=0)
    words = [word for word in SYMBOLS if word in counts]
    cells = [" ".join(f"{SYMBOLS[word]} {row[word]}" for word in words if row[word]) for _, row in counts.iterrows()]
    return pd.Series(cells, index=counts.index, dtype=object).unstack("base", fill_value="").rename_axis(["claim", "source", "test set"])


def on_claims(table: pd.DataFrame) -> list[str]:
    """What each source says of each claim, runs before the paper's own tables; which none can test; and where they part."""
    sentences, none = [], rules.untestable(table)
    table = table[~table["claim"].isin(none)]
    for source in sorted(table["source"].unique(), key=lambda source: source.startswith(PAPER)):
        verdicts = table[table["source"] == source].groupby("verdict")["claim"].agg(list)
        told = [f"{', '.join(map(str, verdicts[word]))} {word}" for word in SYMBOLS if word in verdicts]
        sentences.append(f"Claims judged from {source}: {'; '.join(told)}.")
    last = [f"{rules.UNTESTABLE} claim{'s' * (len(none) > 1)} {', '.join(map(str, none))}."] if none else []
    return [*sentences, *last, *_against_each_other(table)]


def on_refused(refused: Mapping[str, str]) -> list[str]:
    """Which runs were left out, and why. refused: of `sources.other_runs`."""
    return [f"left out: {name}: {reason}" for name, reason in refused.items()]


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
    """One row a claim, one column a source, the verdict as a symbol and in words. table: `claims_table`."""
    wide = _marked(table).pivot(index=["claim", "statement"], columns="source", values="verdict")[list(dict.fromkeys(table["source"]))]
    return markdown(_apart(wide.reset_index(), rules.untestable(table)))


def evidence_markdown(table: pd.DataFrame) -> str:
    """Claim, source, verdict and evidence, one row each, and below the commands that make each source's results again."""
    rows = _marked(table)
    commands = table.drop_duplicates("source").set_index("source")["command"]
    told = "".join(f"- {source}: `{command}`\n" for source, command in commands.items())
    columns = ["statement", "verdict", "evidence"] if len(commands) == 1 else ["statement", "source", "verdict", "evidence"]
    return f"{markdown(_apart(rows[['claim', *columns]], rules.untestable(table)))}\nReproduced by:\n\n{told}"


def show_rules() -> Shown:
    """Claim and rule, one row each, and what holds for all of them; folded."""
    rows = pd.DataFrame([(claim.number, claim.statement, claim.rule) for claim in CLAIMS], columns=["claim", "statement", "supported when"])
    return folded("The rule of each claim, and how it is read", table(rows.set_index("claim")), *map(paragraph, NOTES))


def show_evidence(sources: Sequence[Source]) -> Shown:
    """For each source its verdicts with their evidence, and the command that makes its results; folded."""
    judged = claims_table(sources)
    return together(*(_evidence(source, judged[judged["source"] == source.name], rules.untestable(judged)) for source in sources))


def _evidence(source: Source, judged: pd.DataFrame, none: list[int]) -> Shown:
    """none: the claims that no source can test."""
    rows = _marked(judged)
    counted = rows["verdict"].value_counts()
    told = ", ".join(f"{counted[word]} {word}" for word in dict.fromkeys(rows["verdict"]))
    shown = table(_apart(rows[["claim", "verdict", "statement", "evidence"]], none))
    return folded(f"{source.name}: {told}", shown, _undecided(parts_table([source])), paragraph(source.command))


def _undecided(parts: pd.DataFrame) -> Shown | None:
    """The comparisons that are undecided, and what each leaves open; None where none is."""
    rows = parts[parts["verdict"] == rules.UNDECIDED]
    sizes = [rules.size(row.could_have_shown, row.practically_equal) for row in rows.itertuples()]
    rows = rows.assign(could_have_shown=sizes).drop(columns=["source", "verdict"]).set_index("claim")
    return table(rows.rename(columns=lambda name: name.replace("_", " ")), title="Comparisons that are undecided, and what they leave open")


def _apart(rows: pd.DataFrame, none: list[int]) -> pd.DataFrame:
    """The rows by claim, those of claims that no source can test (`none`) last, below a row that says so."""
    last = rows["claim"].isin(none)
    heading = pd.DataFrame([dict.fromkeys(rows.columns, "…") | {"statement": rules.UNTESTABLE}] if last.any() else [])
    return pd.concat([rows[~last].astype(object), heading, rows[last]]).set_index("claim")


def _marked(table: pd.DataFrame) -> pd.DataFrame:
    """The verdicts as a symbol and in words."""
    return table.assign(verdict=[f"{SYMBOLS.get(word, '')} {word}" for word in table["verdict"]])
