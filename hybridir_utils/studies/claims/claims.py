"""The eleven claims of arXiv 2408.10536 (PAPER §6): a sentence, the rule that decides it in words, and the function that applies it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ...results.style import VERDICT_COLOURS, new_figure
from ...results.tables import markdown
from . import facts, rules
from .sources import Source
from .tests import LEVEL, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED, SYMBOLS, Verdict, undecided

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
            return undecided(self.unpublished)
        return undecided(f"Its saved results lack {', '.join(f'`{name}`' for name in missing)}; made again, they have it.")


CLAIMS = (
    Claim(
        1,
        "Models are fine-tuned on a mix of monolingual and cross-lingual question-answer batches, data sets sampled by their size.",
        "In the hybrid plans of all seeds, counted row by row: every batch is within one language or crosses languages in every pair, the "
        "share of monolingual ones is within chance of α (0 < α < 1), and each data set's share of the batches of a kind within chance of "
        f"its share of the pairs that kind can use. Within chance: exact binomial test, Holm p of at least {facts.LEVEL:g} over all "
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
    "Claims 6 to 10 need two seeds at least: with one, a run's verdict is that nothing can be concluded. The paper's tables hold one run a "
    "model, and nobody can add to them: they are tested over languages, without an interval over seeds, and the evidence says so.",
)


def claims_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Every claim judged in every source by the same rules: COLUMNS, one row per (claim, source)."""
    rows = [(claim.number, claim.statement, source.name, *claim.verdict(source), source.command) for claim in CLAIMS for source in sources]
    return pd.DataFrame(rows, columns=COLUMNS)


def on_claims(table: pd.DataFrame) -> list[str]:
    """Which claims each source supports and which not; and where a run and the paper's own tables part."""
    sentences = []
    for source, rows in table.groupby("source", sort=False):
        by_word = {word: rows[rows["verdict"] == word]["claim"].tolist() for word in (SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE)}
        told = [f"{word}: {', '.join(map(str, numbers)) or 'none'}" for word, numbers in by_word.items()]
        sentences.append(f"{source}: {'; '.join(told)}.")
    return sentences + _against_each_other(table)


def _against_each_other(table: pd.DataFrame) -> list[str]:
    """Claims on which two sources that can test them disagree."""
    tested = table[table["verdict"] != NOT_TESTABLE]
    split = [rows for _, rows in tested.groupby("claim") if rows["verdict"].nunique() > 1]
    if not split:
        return ["No two sources that can test a claim disagree on it."]
    parts = []
    for rows in split:
        named = rows.groupby("verdict")["source"].agg("; ".join)
        parts.append(f"claim {rows['claim'].iloc[0]} (supported in {named[SUPPORTED]}; not supported in {named[NOT_SUPPORTED]})")
    return [f"Sources disagree on {', '.join(parts)}."]


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


LABEL_WIDTH = 70  # characters of a line of a statement


def verdicts(tables: dict[str, pd.DataFrame]):
    """Claims x sources, a coloured cell with symbol and word each (claims)."""
    table = tables["claims"]
    sources, numbers = list(dict.fromkeys(table["source"])), sorted(table["claim"].unique())
    figure, axes = new_figure(width=4.8 + 1.35 * len(sources), height=0.6 + 0.42 * len(numbers))
    ax = axes[0, 0]
    for row in table.itertuples():
        x, y = sources.index(row.source), numbers.index(row.claim)
        ax.add_patch(_cell(x, y, VERDICT_COLOURS[row.verdict]))
        ax.text(x, y, f"{SYMBOLS[row.verdict]} {row.verdict}", ha="center", va="center", fontsize=7)
    statements = table.drop_duplicates("claim").set_index("claim")["statement"]
    ax.set_yticks(range(len(numbers)), [textwrap.fill(f"{number}. {statements[number]}", LABEL_WIDTH) for number in numbers], fontsize=7)
    ax.set_xticks(range(len(sources)), [textwrap.fill(source, 16) for source in sources], fontsize=8)
    ax.set(xlim=(-0.5, len(sources) - 0.5), ylim=(len(numbers) - 0.5, -0.5))
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.set_xlabel("judged from the tables of", fontsize=8)
    ax.xaxis.set_label_position("top")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


def _cell(x: int, y: int, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none")
