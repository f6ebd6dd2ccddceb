"""The eleven claims of arXiv 2408.10536 (PAPER §6): a sentence, the rule that decides it in words, and the function that applies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...rank.significance import LEVEL
from . import facts, rules
from .sources import Source
from .tests import Verdict, not_testable

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
    "way round (or its whole interval below what is asked), and *undecided* where neither is shown; a comparison that is not clear says "
    "what it could have shown in four of five cases, or that two one-sided tests find it practically equal.",
    "Claims 6 to 10 need two seeds at least: with one, a run's verdict is that nothing can be concluded. The paper's tables hold one run a "
    "model, and nobody can add to them: they are tested over languages, without an interval over seeds, and the evidence says so.",
)
