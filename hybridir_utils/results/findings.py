"""What the numbers of notebooks 03 and 04 say, in sentences computed from them: each function takes tables and returns sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from ..experiment.evaluation import UNTRAINED
from ..rank.bias import not_computed
from ..rank.significance import LEVEL, clear_direction
from ..tasks.retrieval_task import RetrievalTask
from .style import SHORT_SETTINGS, Nothing, in_order, in_settings
from .tables import CENTRED, FITS, LOWER_IS_BETTER, METHODS, column_names, falling, fitted, lacking, macro, of_encoders, trained

HYBRID = "hybrid"
MAIN_BASELINES = ("X-X-mono", "X-Y")
AHEAD, BEHIND, UNCLEAR = "ahead of", "behind", "not clearly different from"
BEFORE, BATCHES, ALONE, BOTH = ((strategy, method) for method in ("none", "centring") for strategy in (UNTRAINED, HYBRID))
FORMS = {"mAP": "{:.3f}", "rank distance": "{:,.0f}"}
PAPER_SHAPE = {  # direction of the paper's means (arXiv 2408.10536, tables 3-8)
    "monolingual": "hybrid ≥ X-X-mono > X-Y",
    "cross-lingual": "hybrid ≥ X-Y > X-X-mono",
    "multilingual": "hybrid ≈ X-Y > X-X-mono",
}


def on_scores(scores: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Best trained strategy per task, base and setting, beside an untrained base that is better, with the paired test against hybrid."""
    sentences = []
    for (task, base), rows in trained(macro(scores)).groupby(["task", "base"], sort=False):
        means, before = _means(rows), _untrained(scores)
        highest = {setting: means[setting, task, base] for setting in in_settings(rows["setting"])}
        parts = [
            f"{SHORT_SETTINGS[setting]} {found.idxmax()} ({found.max():.3f}{_better(before.get((setting, task, base)), found.max())})"
            for setting, found in highest.items()
        ]
        sentences.append(f"{task}, from {base}: highest mAP after training: {', '.join(parts)}." + _on_tests(tests, task, base))
    return sentences


def _means(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby(["setting", "task", "base", "strategy"])["value"].mean()


def _untrained(scores: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """(setting, task, base) -> mAP of the base before training, where it was measured."""
    rows = macro(scores)
    return _means(rows[rows["strategy"] == UNTRAINED]).droplevel("strategy").to_dict()


def _better(before: float | None, best: float) -> str:
    """That training lost what the base had; "" where it did not."""
    return f"; untrained {before:.3f}" if before is not None and before > best else ""


def _on_tests(tests: pd.DataFrame, task: str, base: str) -> str:
    rows = _against(tests, task, base)
    told = [f"{SHORT_SETTINGS[setting]} {grouped(part)}" for setting, part in rows.groupby("setting", sort=False)] if len(rows) else []
    return f" Hybrid: {'; '.join(told)}." if told else ""


def conclusions(*groups: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the last sentence of each group, which concludes; those before)."""
    return [group[-1] for group in groups if group], [sentence for group in groups for sentence in group[:-1]]


def against_main(tests: pd.DataFrame) -> list[str]:
    """For each measure a sentence over all tasks and bases: how often hybrid is clearly ahead of and behind each of MAIN_BASELINES."""
    rows = tests[tests["strategy"].isin(MAIN_BASELINES)]
    rows = rows.assign(goal=column_names(rows, "measure"), found=[verdict(row) for row in rows.itertuples()])
    sentences = []
    for goal, part in rows.groupby("goal", sort=False):
        several = part.groupby(["found", "strategy"], sort=False)["mean_difference"].agg(["size", "mean"])
        less, cases = goal in LOWER_IS_BETTER, len(part.drop_duplicates(["task", "base"]))
        form = "{:+z,.0f} ranks" if less else "{:+z.3f}"
        told = ", ".join(
            f"{word} " + ", ".join(f"{name}{_in(n, cases)} ({form.format(-mean)})" for (_, name), n, mean in rows.itertuples())
            for word, rows in several.groupby("found", sort=False)
        )
        about = f"{goal[:1].upper()}{goal[1:]}{' (less is better)' * less}{_cases(cases)}"
        sentences.append(f"{about}{', with the mean difference' * (cases > 1)}: hybrid is {told}.")
    return sentences


def on_highest(scores: pd.DataFrame) -> list[str]:
    """Which trained strategy has the highest mAP in each setting, in how many test sets and bases, and in how many the base had more."""
    means, before = _means(trained(macro(scores))), _untrained(scores)
    best = means[means.groupby(["setting", "task", "base"]).idxmax()].reset_index("strategy")
    cases, told = len(best.droplevel("setting").index.unique()), []
    for setting in in_settings(best.index.unique("setting")):
        found = best.loc[[setting]]
        lost = sum(bool(_better(before.get(case), value)) for case, value in found["value"].items())
        names = [*found["strategy"].value_counts().items(), *[("untrained above it", lost)] * bool(lost)]
        told.append(f"{SHORT_SETTINGS[setting]} {', '.join(name + _in(n, cases) for name, n in names)}")
    return [f"Highest mAP after training{_cases(cases)}: {'; '.join(told)}."] if told else []


def _cases(number: int) -> str:
    return f", {number} cases (a test set and a base each)" if number > 1 else ""


def _in(number: int, cases: int) -> str:
    return f" in {number}" if cases > 1 else ""


def on_not_computed(tasks: Mapping[str, RetrievalTask]) -> list[str]:
    """The measures of bias that a task cannot have, and why."""
    return [f"{name}, {measure}: {reason}." for name, task in tasks.items() for measure, reason in not_computed(task).items()]


def _against(tests: pd.DataFrame, task: str, base: str) -> pd.DataFrame:
    """The tests of one task and base against MAIN_BASELINES."""
    return tests[(tests["task"] == task) & (tests["base"] == base) & tests["strategy"].isin(MAIN_BASELINES)]


def verdict(row) -> str:
    """AHEAD, BEHIND or UNCLEAR: the baseline of a tested row against its strategy, by `significance.clear_direction`.

    row: of `tables.test_table`, or of `retention` (whose `difference` is a share). Of LOWER_IS_BETTER the lower one is ahead.
    """
    difference = getattr(row, "mean_difference", None)
    found = clear_direction(row.difference if difference is None else difference, row.p_holm, row.seed_low, row.seed_high)
    sign = -1 if getattr(row, "measure", "") in LOWER_IS_BETTER else 1
    return {0: UNCLEAR, 1: BEHIND, -1: AHEAD}[sign * int(found)]


def gain(row) -> str:
    """The baseline minus the strategy, as a signed number: tested rows hold the strategy minus its baseline."""
    return f"{-row.mean_difference:+z.3f}"


def grouped(rows: pd.DataFrame, number: Callable = gain, words: Mapping[str, str] | None = None) -> str:
    """The baseline against others: `ahead of A (1), B (2), behind C (3)`; number: a row -> its number; words: in place of a `verdict`."""
    found = {name: [] for name in (AHEAD, BEHIND, UNCLEAR)}
    for row in rows.itertuples():
        found[verdict(row)].append(f"{row.strategy} ({number(row)})")
    return ", ".join(f"{(words or {}).get(name, name)} {', '.join(others)}" for name, others in found.items() if others)


def on_seeds(seeds: Sequence[int]) -> list[str]:
    """What one seed leaves open."""
    if len(seeds) > 1:
        return []
    return ["One seed was trained: tests and intervals are over questions; whether another training run agrees cannot be concluded."]


def on_resamples(resamples: int, comparisons: int, least: int = 1, of: str = "") -> list[str]:
    """That no corrected p-value can be below .05, where there are too few resamples for it.

    least / (resamples + 1) is the smallest p: 1 of a randomisation test (`significance.compare`), 2 of the bootstrap of a share kept
    (`resampling.retention`), whose p is twice that of one side. of: what the sentence is about, where it is not all tests.
    """
    if least * comparisons / (resamples + 1) < LEVEL:
        return []
    return [f"{resamples} resamples are too few for a corrected p below .05{of} in {comparisons} comparisons (`resamples`)."]


def against_paper(scores: pd.DataFrame) -> list[str]:
    """Whether each setting has the order of the paper's means (hybrid, X-Y, X-X-mono), per task and base."""
    rows = macro(scores)
    rows = rows[rows["strategy"].isin([HYBRID, *MAIN_BASELINES])]
    sentences = []
    for setting, shape in PAPER_SHAPE.items():
        orders = []
        for (task, base), part in rows[rows["setting"] == setting].groupby(["task", "base"], sort=False):
            orders.append(f"{task} from {base}: {falling(part.groupby('strategy')['value'].mean())}")
        if orders:
            sentences.append(f"{SHORT_SETTINGS[setting]}: the paper's means have {shape}; ours: {'; '.join(orders)}.")
    return sentences


def on_bias(bias: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Rank distance and same-language share of the strategies, with the paired test against hybrid."""
    sentences = []
    for (task, base), rows in trained(macro(bias, "")).groupby(["task", "base"], sort=False):
        means = rows.groupby(["measure", "strategy"])["value"].mean()
        if not {"rank distance", "same-language share@10"} <= set(means.index.unique("measure")):
            sentences.append(f"{task}, from {base}: no rank distance or same-language share, which need passages in two languages.")
            continue
        distance, share = means["rank distance"], means["same-language share@10"]
        listed = ", ".join(f"{name} {distance[name]:,.0f}" for name in in_order(distance.index))
        own = f"hybrid {share[HYBRID]:.0%}, pool {means['same-language pool share'].iloc[0]:.0%}." if HYBRID in share else ""
        sentences.append(
            f"{task}, from {base}: mean rank distance over languages {listed} (best possible {means['rank distance (best)'].iloc[0]:.0f}, "
            f"random {means['rank distance (random)'].iloc[0]:,.0f}); lowest: {distance.idxmin()}."
            + (f" Same-language share of the top 10: {own}" if own else "")
            + _on_distance(tests, task, base)
        )
    return sentences


def _on_distance(tests: pd.DataFrame, task: str, base: str) -> str:
    words = {AHEAD: "less language-biased than", BEHIND: "more language-biased than"}
    told = grouped(_against(tests, task, base), lambda row: f"{-row.mean_difference:+z,.0f} ranks", words)
    return f" Over questions, hybrid is {told}." if told else ""


def on_debiasing(debiasing: pd.DataFrame) -> list[str]:
    """What the best training-free method gives the mono-trained encoder, against training with cross-lingual batches; and what centring
    gives it where no language of the pool's own text or of a question is given.
    """
    mixed = debiasing[(debiasing["metric"] == "mAP") & (debiasing["setting"] == "multilingual")]
    rows = fitted(mixed, "pool")
    sentences = []
    for base, part in rows.groupby("base"):
        means = part.groupby(["strategy", "method"])["value"].mean()
        if not {"X-X-mono", "hybrid"} <= set(part["strategy"]) or part["method"].nunique() < 2:
            continue
        mono, hybrid = means["X-X-mono"], means["hybrid"]
        best = mono.drop("none").idxmax()
        sentences.append(
            f"From {base}, {METHODS[best]} fitted on the pool moves X-X-mono from {mono['none']:.3f} to {mono[best]:.3f} Mul. mAP; "
            f"hybrid batches without any method give {hybrid['none']:.3f}, "
            f"and {METHODS[hybrid.drop('none').idxmax()]} on top of them {hybrid.drop('none').max():.3f}."
            + _as_an_index(mixed.loc[(mixed["base"] == base) & (mixed["task"] == part["task"].iloc[0])])
        )
    return sentences


def on_beside_a_mean(debiasing: pd.DataFrame) -> list[str]:
    """How much of what hybrid batches give in the mixed pool a mean vector taken off gives, of the pool and of other text, and whether one
    adds to the other; by base.
    """
    sentences = []
    for where, fits, gap in _ways(debiasing):
        own = fits["pool"]
        alone = ", ".join(f"on {FITS[text]} {_told(means, ALONE)}{_gained(means['mAP'])}" for text, means in fits.items())
        added = {text: means["mAP"][BOTH] - means["mAP"][BATCHES] for text, means in fits.items()}
        both = ", ".join(f"on {FITS[text]} {_told(means, BOTH)} (mAP {added[text]:+z.3f})" for text, means in fits.items())
        sentences.append(
            f"{where}, Mul. {' and '.join(metric for metric in FORMS if metric in own)}: untrained {_told(own, BEFORE)}; "
            f"hybrid batches {_told(own, BATCHES)}; a mean taken off each language, nothing trained, fitted {alone}; "
            f"off hybrid's vectors, fitted {both}{gap}."
        )
    return sentences


def on_mean_tested(tests: pd.DataFrame) -> list[str]:
    """The same by paired tests (`tables.debiasing_tests`), in a sentence for each task and base: whether hybrid as it is goes beyond other
    encoders with a mean taken off, and whether one adds to hybrid.
    """
    sentences = []
    for (task, base), rows in tests[tests["measure"] == "AP"].groupby(["task", "base"], sort=False):
        others = rows[rows["strategy"].isin([CENTRED + name for name in (UNTRAINED, *MAIN_BASELINES)])]
        told = [f"uncentred hybrid is {against}"] if (against := grouped(others, _gain_within)) else []
        told += [_on_both(row) for row in rows[rows["strategy"] == CENTRED + HYBRID].itertuples()]
        sentences.append(f"{task}, from {base}, Mul. mAP by paired tests, means fitted on the pool: {'; '.join(told)}.")
    return sentences


def _gain_within(row) -> str:
    """`gain` with its 95 % interval over questions."""
    return f"{gain(row)} [{-row.high:+z.3f}, {-row.low:+z.3f}]"


def _on_both(row) -> str:
    word = {AHEAD: "takes from it", BEHIND: "adds to it", UNCLEAR: "does not clearly change it"}[verdict(row)]
    return f"a mean on top of hybrid {word} ({row.mean_difference:+z.3f} [{row.low:+z.3f}, {row.high:+z.3f}])"


def on_order(tests: pd.DataFrame) -> list[str]:
    """Whether hybrid is ahead of both others in the mixed pool, as the paper claims, by paired tests; one sentence."""
    mixed = tests[tests["setting"] == "multilingual"]
    cases = mixed[["task", "base"]].drop_duplicates().itertuples(index=False, name=None)
    told = [f"{task}, from {base}: {grouped(_against(mixed, task, base))}" for task, base in cases]
    shape = f"The paper: hybrid ahead of both in Mul. (its means: {PAPER_SHAPE['multilingual']})"
    return [f"{shape}. Paired tests of hybrid's mAP here: {'; '.join(told)}."]


def _ways(debiasing: pd.DataFrame) -> Iterator[tuple[str, dict[str, pd.Series], str]]:
    """(task, base and whether of one seed; text that means are of -> means by metric, strategy and method; languages that one lacks) of the
    bases that have BEFORE, BATCHES, ALONE and BOTH in the mixed pool.
    """
    mixed = debiasing[debiasing["setting"] == "multilingual"]
    for base, part in fitted(mixed, *FITS).groupby("base"):
        fits = {text: fitted(part, text).groupby(["metric", "strategy", "method"])["value"].mean() for text in FITS}
        fits = {text: means for text, means in fits.items() if all(("mAP", *way) in means for way in (BEFORE, BATCHES, ALONE, BOTH))}
        if "pool" in fits:
            alone = ", one seed" if part.loc[part["strategy"] == HYBRID, "seed"].nunique() == 1 else ""
            gap = f"; no training passages in {', '.join(without)}" if (without := lacking(part)) else ""
            yield f"{part['task'].iloc[0]}, from {base}{alone}", fits, gap


def _told(means: pd.Series, way: tuple[str, str]) -> str:
    return " and ".join(form.format(means[metric][way]) for metric, form in FORMS.items() if metric in means)


def _gained(maps: pd.Series) -> str:
    """What a mean alone gives of what the batches give; "" where they give nothing."""
    before, batches, alone = (maps[way] for way in (BEFORE, BATCHES, ALONE))
    return f" ({(alone - before) / (batches - before):.0%} of the mAP gain)" if round(batches - before, 3) > 0 else ""


def _as_an_index(debiasing: pd.DataFrame) -> str:
    """What centring gives where the means are of other text and nobody says which language a question is in; "" where it was not tried."""
    rows = debiasing.query("fitted_on == 'training' and question_language == 'identified'")
    if rows.empty:
        return ""
    means = rows.groupby("strategy")["value"].mean()
    values = " and ".join(f"{strategy} {means[strategy]:.3f}" for strategy in ("X-X-mono", HYBRID))
    others = f"; of {', '.join(without)}, which that text lacks, the mean of all languages" if (without := lacking(rows)) else ""
    right = f"languages of questions identified, {rows['languages_right'].mean():.1%} right"
    return f" Centring as an index would do it (means of training passages{others}; {right}) gives {values}."


def on_query_languages(scores: pd.DataFrame) -> list[str]:
    """Question languages with the lowest and the highest mAP in each setting, by base: of hybrid, else of the last strategy; first task."""
    rows = trained(scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")])
    rows = rows[rows["task"] == scores["task"].iloc[0]]
    sentences = []
    for base, part in rows.groupby("base"):
        names = in_order(part["strategy"])
        shown = HYBRID if HYBRID in names else names[-1]
        means = part[part["strategy"] == shown].groupby(["setting", "query_language"])["value"].mean()
        told = [f"{short} {_range(means[setting])}" for setting, short in SHORT_SETTINGS.items() if setting in means]
        sentences.append(f"{shown}, from {base}, lowest to highest mAP by question language: {', '.join(told)}.")
    return sentences


def on_heat(heat: pd.DataFrame) -> list[str]:
    """Mean mAP where question and answer are in one language, and where they are not."""
    same = heat["query_language"] == heat["candidate_language"]
    means = heat.groupby(["base", "strategy", same.rename("same")])["value"].mean().unstack("same")
    sentences = []
    for base, part in means.groupby("base"):
        part = part.droplevel("base")
        there = part.dropna(axis=1, how="all").rename(columns={True: "within a language", False: "across languages"}).iloc[:, ::-1]
        told = [f"{name} {' / '.join(map('{:.3f}'.format, there.loc[name]))}" for name in in_order(there.index)]
        sentences.append(f"From {base}, mean mAP {' / '.join(there)}: {', '.join(told)}.")
    return sentences


def _of_bases(values: pd.Series, form: str) -> Iterator[tuple[str, str]]:
    """(base, `strategy value, …`) of values by base and strategy."""
    for base, part in values.groupby("base"):
        yield base, ", ".join(f"{name} {part[base, name]:{form}}" for name in in_order(part[base].index))


def on_language_share(bias: pd.DataFrame) -> list[str]:
    """Mean share of the top ten in the question's own language, by strategy, beside its share of the pool; first task."""
    rows = of_encoders(macro(bias, ""))
    rows = rows[rows["task"] == bias["task"].iloc[0]]
    means = rows.groupby(["measure", "base", "strategy"])["value"].mean()
    if "same-language share@10" not in means:
        raise Nothing
    pool = means["same-language pool share"].mean()
    return [
        f"From {base}, share of the top ten in the question's language: {told}; in the pool {pool:.0%}."
        for base, told in _of_bases(means["same-language share@10"], ".0%")
    ]


def on_map(table: pd.DataFrame) -> list[str]:
    """How often a text's nearest neighbour on the map is in its own language: high where colours form clusters."""
    from scipy.spatial import KDTree

    def own(rows: pd.DataFrame) -> float:
        places, languages = rows[["x", "y"]].to_numpy(), rows["language"].to_numpy()
        _, nearest = KDTree(places).query(places, k=2)
        return (languages[nearest[:, 1]] == languages).mean()

    table = table.dropna(subset=["x", "y"])  # fewer than three texts have no components
    if table.empty:
        return []
    shares, chance = table.groupby(["base", "strategy"])[["x", "y", "language"]].apply(own), 1 / table["language"].nunique()
    return [
        f"From {base}, texts whose nearest neighbour on the map is in their own language: {told}; by chance about {chance:.0%}."
        for base, told in _of_bases(shares, ".0%")
    ]


def on_vectors(alignment: pd.DataFrame) -> list[str]:
    """Translation retrieval and language probe of the questions' vectors, by strategy."""
    means = alignment.groupby(["measure", "base", "strategy"])["value"].mean()
    names = {"translation_accuracy": "translation retrieval accuracy", "language_identity": "accuracy of the language probe"}
    return [
        f"From {base}, {words}: {told}."
        for measure, words in names.items()
        if measure in means
        for base, told in _of_bases(means[measure], ".3f")
    ]


def _range(values: pd.Series) -> str:
    return f"{values.min():.3f} ({values.idxmin()}) to {values.max():.3f} ({values.idxmax()})"
