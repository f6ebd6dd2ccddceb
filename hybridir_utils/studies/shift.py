"""Studies S0 and S1 (notebook 06): accuracy and alignment in domain and under shift, trained and unseen languages; and what they say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ..experiment.evaluation import REFERENCE, UNTRAINED
from ..rank.metrics import MEAN_NAMES
from ..rank.resampling import KEPT_COLUMNS, retention
from ..rank.significance import clear_direction, seed_interval
from ..results.findings import AHEAD, BEHIND, HYBRID, UNCLEAR, grouped
from ..results.style import SHORT_SETTINGS, in_order, in_settings
from ..results.tables import TEST_COLUMNS, ordered, stack, test_table, trained
from ..tasks.retrieval_task import RetrievalTask

ENCODER = ["base", "strategy", "seed"]
COUNTS = ["n_in_domain", "n_shifted"]  # groups of parallel questions of each task; `n_groups`: of both
CASE = ["task", "base", "side", "measure"]  # of alignment
MEASURES = {"alignment_gap": "alignment gap", "translation_accuracy": "translation accuracy"}  # those of which a share can be kept
MAIN, CROSS = "translation_accuracy", "cross-lingual"
TRAINED, UNSEEN = "trained", "unseen"
MORE = {AHEAD: "more than", BEHIND: "less than", UNCLEAR: UNCLEAR}


def languages_of(tasks: Mapping[str, RetrievalTask], compared: Sequence[str], wanted: Sequence[str]) -> pd.DataFrame:
    """By compared task: questions, candidates, languages, and the wanted languages that it lacks."""
    rows = [
        (name, len(task.queries), len(task.candidates), " ".join(task.languages), " ".join(c for c in wanted if c not in task.languages))
        for name, task in tasks.items()
        if name in compared
    ]
    return pd.DataFrame(rows, columns=["task", "questions", "candidates", "languages", "lacking"]).set_index("task")


def kept_table(questions: pd.DataFrame, in_domain: str, shifted: Sequence[str], resamples: int) -> pd.DataFrame:
    """Mean AP in domain and under shift and the share kept (`retention`), for each shifted task, base and setting, against hybrid.

    The untrained base stands among the strategies; public retrievers and BM25, which have nothing to be compared with, are their own
    baseline. questions: task, base, strategy, seed, setting, group, AP. No rows for a task that is searched to a depth: it has no AP.
    COUNTS: how many groups of parallel questions each task asks.
    """
    tables = []
    for place, home, away in shifts(questions[questions["strategy"] != "random"], in_domain, shifted):
        baseline = HYBRID if HYBRID in set(home["strategy"]) else home["strategy"].iloc[0]
        counts = dict(zip(COUNTS, (home["group"].nunique(), away["group"].nunique()), strict=True))
        tables.append(retention(home, away, baseline, resamples).assign(**place, **counts))
    return stack(tables, ["task", "base", "setting", *KEPT_COLUMNS, *COUNTS])


def shifts(questions: pd.DataFrame, in_domain: str, shifted: Sequence[str]) -> Iterator[tuple[dict, pd.DataFrame, pd.DataFrame]]:
    """(shifted task, base and setting; questions in domain; under shift) wherever both tasks have them, their AP as `value`."""
    rows = questions.dropna(subset=["AP"]).rename(columns={"AP": "value"})
    parts = dict(iter(rows.groupby(["task", "base", "setting"], sort=False)))
    for task in shifted:
        for (home, base, setting), seen in parts.items():
            if home == in_domain != task and (task, base, setting) in parts:
                yield {"task": task, "base": base, "setting": setting}, seen, parts[task, base, setting]


def asked(kept: pd.DataFrame) -> str:
    """How many groups of parallel questions the two tasks ask, and whether they ask the same ones; without COUNTS, how many both ask."""
    union, home, away = kept.reindex(columns=["n_groups", *COUNTS]).max()
    if pd.isna(home) or home == away == union:
        return f"{union:,.0f} parallel questions{'' if pd.isna(home) else ' in both tasks'}"
    both = home + away - union
    return f"{home:,.0f} and {away:,.0f} questions, {f'{both:,.0f} of them in both' if both else 'other ones'}"


def no_share(kept: pd.DataFrame) -> dict[str, str]:
    """Shifted task -> why its mAP is no share of that in domain: it asks other questions, or even what learnt nothing in domain scores
    higher there.
    """
    easier, found = _easier(kept), {}
    for task, rows in kept.groupby("task", sort=False):
        counts = rows.reindex(columns=COUNTS).dropna()
        others = counts.ne(rows["n_groups"].loc[counts.index], axis=0).any(axis=None)
        found[task] = [*([asked(rows)] if others else []), *easier.get(task, [])]
    return {task: "; ".join(told) for task, told in found.items() if told}


def shares(kept: pd.DataFrame) -> pd.DataFrame:
    """The rows of the tasks whose mAP is a share of that in domain."""
    return kept[~kept["task"].isin(no_share(kept))]


def kept_wide(kept: pd.DataFrame) -> pd.DataFrame:
    """For readers: mAP in domain, mAP under shift, and, where it is one (`shares`), the share kept with its interval, in each setting."""
    none = no_share(kept)
    cells = kept.assign(
        mAP=[f"{row.in_domain:.3f} → {row.shifted:.3f}" for row in kept.itertuples()],
        kept=[f"{row.kept:.2f} [{row.kept_low:.2f}, {row.kept_high:.2f}]" * (row.task not in none) for row in kept.itertuples()],
        setting=kept["setting"].map(SHORT_SETTINGS),
    )
    wide = cells.pivot(index=["task", "base", "strategy"], columns="setting", values=["mAP", "kept"]).swaplevel(axis=1)
    columns = [(short, cell) for short in SHORT_SETTINGS.values() for cell in ("mAP", "kept") if (short, cell) in wide]
    return ordered(wide, kept["task"])[columns]


def shift_tests(questions: pd.DataFrame, shifted: Sequence[str], unseen: Collection[str], resamples: int) -> pd.DataFrame:
    """Paired tests of every strategy against hybrid on each shifted task (`tables.test_table`), over all questions (column questions: all),
    and once more over those in languages unseen in training. measure: AP; of a task that is searched to a depth, its own first measure.
    """
    tables = []
    for task in shifted:
        rows = questions[questions["task"] == task]
        measures = [name for name in rows if (name == "AP" or "@" in name) and rows[name].notna().any()]
        for name, part in {"all": rows, UNSEEN: rows[rows["query_language"].isin(list(unseen))]}.items():
            if len(part):
                tables.append(test_table(part, "AP" if "AP" in measures else measures[0], resamples).assign(questions=name))
    return stack(tables, [*TEST_COLUMNS, "questions"])


def alignment_means(alignment: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Alignment measures of each encoder on each side of each task, the mean over ordered pairs of languages where they have some.

    task, base, strategy, seed, side, measure, value. A task without parallel texts has no rows.
    """
    rows = alignment[alignment["task"].isin(list(tasks))]
    return rows.groupby(["task", *ENCODER, "side", "measure"], sort=False)["value"].mean().reset_index()


def alignment_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: mean over seeds of every measure; rows side, base, strategy, columns measure and task."""
    wide = means.pivot_table(index=["side", "base", "strategy"], columns=["measure", "task"], values="value", sort=False)
    return ordered(wide).round(3)


def alignment_kept(means: pd.DataFrame, in_domain: str, shifted: Sequence[str]) -> pd.DataFrame:
    """Alignment of each encoder in domain and under shift, and kept = shifted / in_domain.

    task, base, strategy, seed, side, measure (MEASURES), in_domain, shifted, kept; NaN where the alignment in domain is not positive.
    A side whose texts are the same in both, as the sample's questions are, is not shifted and has no rows.
    """
    keys = [*ENCODER, "side", "measure"]
    rows = means[means["measure"].isin(MEASURES)]
    home = rows[rows["task"] == in_domain].set_index(keys)["value"].rename("in_domain")
    away = rows[rows["task"].isin(list(shifted))].set_index(["task", *keys])["value"].rename("shifted")
    both = away.reset_index().merge(home.reset_index(), on=keys)[["task", *keys, "in_domain", "shifted"]]
    moved = (both["in_domain"] - both["shifted"]).abs().gt(1e-9).groupby([both["task"], both["side"]]).transform("any")
    both = both[moved.astype(bool)].reset_index(drop=True)
    return both.assign(kept=both["shifted"] / both["in_domain"].where(both["in_domain"] > 0))


def alignment_differences(kept: pd.DataFrame) -> pd.DataFrame:
    """Share of alignment kept by each trained strategy minus hybrid's, mean over seeds with the 95 % t-interval over the seeds both have.

    task, base, side, measure, strategy, kept, hybrid, difference, n_seeds, seed_low, seed_high, note.
    """
    rows = []
    for about, part in trained(kept).dropna(subset=["kept"]).groupby(CASE, sort=False):
        per_seed = part.set_index(["strategy", "seed"])["kept"]
        means = per_seed.groupby("strategy").mean()
        for strategy in in_order(set(means.index) - {HYBRID}) if HYBRID in means else []:
            values = {"kept": means[strategy], HYBRID: means[HYBRID], "difference": means[strategy] - means[HYBRID]}
            about_ = dict(zip(CASE, about, strict=True)) | {"strategy": strategy}
            rows.append(about_ | values | seed_interval(per_seed, strategy, HYBRID))
    return pd.DataFrame(rows, columns=[*CASE, "strategy", "kept", HYBRID, "difference", "n_seeds", "seed_low", "seed_high", "note"])


def survival(kept: pd.DataFrame, questions: pd.DataFrame, in_domain: str) -> pd.DataFrame:
    """Do encoders that keep more of their alignment keep more of their accuracy? Spearman's correlation over trained encoders.

    task, base, side, measure, correlation, n. Accuracy kept: mean cross-lingual AP under shift / in domain. kept: `alignment_kept`.
    """
    cross = questions[questions["setting"] == "cross-lingual"].groupby(["task", *ENCODER])["AP"].mean()
    if in_domain not in cross:
        return pd.DataFrame(columns=[*CASE, "correlation", "n"])
    accuracy = (cross / cross[in_domain].reindex(cross.index.droplevel("task")).to_numpy()).rename("accuracy").reset_index()
    both = trained(kept).merge(accuracy, on=["task", *ENCODER]).dropna(subset=["kept", "accuracy"])
    rows = [(*about, _spearman(part["kept"], part["accuracy"]), len(part)) for about, part in both.groupby(CASE, sort=False)]
    return pd.DataFrame(rows, columns=[*CASE, "correlation", "n"])


def _spearman(one: pd.Series, other: pd.Series) -> float:
    """NaN below three values or where all are equal."""
    return one.corr(other, method="spearman") if len(one) > 2 and one.nunique() > 1 and other.nunique() > 1 else float("nan")


def language_kinds(scores: pd.DataFrame, tasks: Sequence[str], unseen: Collection[str]) -> pd.DataFrame:
    """mAP by whether the question's and the pool's language are trained or unseen: the mean over languages or pairs, then over seeds.

    task, base, strategy, setting, question, pool (`all` in the mixed pool), value, sd (over seeds), n_seeds, pairs.
    """
    rows = scores[(scores["metric"] == "mAP") & (scores["query_language"] != "macro") & scores["task"].isin(list(tasks))]
    kinds = dict.fromkeys(unseen, UNSEEN) | {"all": "all"}
    sides = {"question": "query_language", "pool": "candidate_language"}
    rows = rows.assign(**{side: rows[column].map(kinds).fillna(TRAINED) for side, column in sides.items()})
    keys = ["task", "base", "strategy", "setting", "question", "pool"]
    per_seed = rows.groupby([*keys, "seed"], sort=False)["value"].agg(["mean", "size"])
    grouped = per_seed.groupby(keys, sort=False)
    table = grouped["mean"].agg(["mean", "std", "size"]).set_axis(["value", "sd", "n_seeds"], axis=1)
    return table.assign(pairs=grouped["size"].first()).reset_index()


def language_kinds_wide(kinds: pd.DataFrame) -> pd.DataFrame:
    """For readers: mAP of trained strategies, columns setting and question → pool language; no rows without unseen languages."""
    rows = kinds if UNSEEN in set(kinds["question"]) else kinds[:0]
    rows = rows[(rows["base"] != REFERENCE) | (rows["strategy"] == "BM25")]
    rows = rows.assign(languages=rows["question"] + " → " + rows["pool"], setting=rows["setting"].map(SHORT_SETTINGS))
    wide = rows.pivot_table(index=["task", "base", "strategy"], columns=["setting", "languages"], values="value", sort=False)
    return wide.round(3)


def on_tasks(languages: pd.DataFrame, shifted: Sequence[str]) -> list[str]:
    """What is compared with what, and what cannot be: no shifted task, or languages that a task lacks (`languages_of`)."""
    if not len(shifted):
        return ["The run has no shifted task: name one or more of its `tasks`, after the first, in `shifted_tasks`."]
    lacking = languages[languages["lacking"] != ""]["lacking"]
    home = [task for task in languages.index if task not in shifted]
    sentences = [f"In domain: {home[0]}; shifted: {', '.join(shifted)}."]
    return sentences + [
        f"{task} lacks {codes.replace(' ', ', ')}; its numbers are over the languages it has." for task, codes in lacking.items()
    ]


def on_kept(kept: pd.DataFrame) -> list[str]:
    """S0: hybrid's share of accuracy kept beside each other strategy's, per shifted task (of `shares`) and base."""
    sentences = []
    for (task, base), part in trained(shares(kept)).groupby(["task", "base"], sort=False):
        settings = [(short, part[part["setting"] == setting].set_index("strategy")) for setting, short in SHORT_SETTINGS.items()]
        told = [_kept(short, rows) for short, rows in settings if HYBRID in rows.index and pd.notna(rows.loc[HYBRID, "kept"])]
        if told:
            sentences.append(f"{task}, from {base}: hybrid keeps {'; '.join(told)}.")
    return sentences


def on_share(kept: pd.DataFrame) -> list[str]:
    """S0 in one sentence: the share of accuracy that hybrid keeps, over shifted tasks and bases; and what training gave on those tasks
    whose mAP is no share of that in domain.
    """
    own = shares(kept)[lambda rows: rows["strategy"] == HYBRID].dropna(subset=["kept"])
    ends = own.groupby("setting")["kept"].agg(["min", "max"])
    told = [f"{_span(ends.loc[setting])} of its {SHORT_SETTINGS[setting]} mAP" for setting in in_settings(ends.index)]
    where = f"{', '.join(own['task'].unique())}; from {', '.join(own['base'].unique())}"
    sentences = [f"Under domain shift ({where}) hybrid keeps {', '.join(told)}."] if told else []
    for task, why in no_share(kept).items():
        gains = _gains(kept[kept["task"] == task])
        sentences.append(f"{task}: no share of the mAP in domain is told ({why}).{gains}")
    return sentences


def _gains(kept: pd.DataFrame) -> str:
    """Hybrid's mAP minus the untrained base's, in domain and under shift, by base and setting; "" where a run lacks one of them."""
    wide = kept.pivot(index=["base", "setting"], columns="strategy", values=["in_domain", "shifted"]).swaplevel(axis=1)
    if not {HYBRID, UNTRAINED} <= set(wide.columns.unique(0)):
        return ""
    told = []
    for base, rows in (wide[HYBRID] - wide[UNTRAINED]).dropna().groupby(level="base"):
        rows = rows.droplevel("base").rename(SHORT_SETTINGS).reindex(SHORT_SETTINGS.values()).dropna()
        gains = ", ".join(f"{row.Index} {row.in_domain:+z.3f} / {row.shifted:+z.3f}" for row in rows.itertuples())
        told.append(f"from {base} {gains}")
    return f" Hybrid minus the untrained base, mAP in domain / under shift: {'; '.join(told)}."


def _span(ends: pd.Series) -> str:
    return " to ".join(dict.fromkeys(map("{:.0%}".format, ends)))


def _kept(short: str, rows: pd.DataFrame) -> str:
    own, others = rows.loc[HYBRID], rows.drop(index=HYBRID).reset_index()
    told = f"{own['kept']:.0%} of its {short} mAP ({own['in_domain']:.3f} → {own['shifted']:.3f})"
    return f"{told}, {grouped(others, lambda row: f'{row.kept:.0%}', MORE)}" if len(others) else told


def _easier(kept: pd.DataFrame) -> dict[str, list[str]]:
    """Shifted task -> that even what learnt nothing in domain scores higher there than in domain."""
    learnt_nothing = kept[kept["strategy"].isin([UNTRAINED, "BM25"]) & (kept["setting"] == "monolingual")]
    least_most = learnt_nothing.groupby("task", sort=False)["kept"].agg(least="min", most="max")
    return {
        task: [f"the easier task: Mo. mAP of the untrained bases and BM25 is {_span(row)} of that in domain"]
        for task, row in least_most.iterrows()
        if round(row.least, 2) > 1
    }


def on_shifted_tests(tests: pd.DataFrame) -> list[str]:
    """S0: whether hybrid is ahead of the others on the shifted tasks themselves, across languages, and on questions in unseen ones."""
    sentences = []
    for (task, base), part in tests[tests["setting"] == CROSS].groupby(["task", "base"], sort=False):
        told = []
        for questions, rows in part.groupby("questions", sort=False):
            where = "" if questions == "all" else "on questions in unseen languages "
            told.append(where + grouped(rows))
        measure = MEAN_NAMES.get(part["measure"].iloc[0], part["measure"].iloc[0])
        sentences.append(f"{task}, from {base}: in Cr. {measure}, hybrid is {'; '.join(told)}.")
    return sentences


def on_alignment(means: pd.DataFrame, kept: pd.DataFrame, differences: pd.DataFrame, tasks: Sequence[str]) -> list[str]:
    """S1: translation accuracy before and after training, how much of it is left under shift, and whether hybrid keeps more of it."""
    sentences = [f"{task} has no parallel texts, so its alignment is not measured." for task in tasks if task not in set(means["task"])]
    rows, tested = (table[table["measure"] == MAIN] for table in (kept, differences))
    for (task, base), part in rows.groupby(["task", "base"], sort=False):
        told = []
        for side, values in part.groupby("side", sort=False):
            about = tested[(tested[["task", "base", "side"]] == [task, base, side]).all(axis=1)]
            told.append(f"{side}s {_home_and_away(values)}{_hybrid_keeps(about)}")
        sentences.append(f"{task}, from {base}, translation accuracy in domain → shifted: {'; '.join(told)}.")
    return sentences


def on_shifted_alignment(means: pd.DataFrame, kept: pd.DataFrame) -> list[str]:
    """`on_alignment` of saved tables, whose first task is in domain. kept: `kept_table`, for the tasks without parallel texts."""
    home, *shifted = dict.fromkeys([*means["task"], *kept["task"]])
    moved = alignment_kept(means, home, shifted)
    return on_alignment(means, moved, alignment_differences(moved), [home, *shifted])


def _home_and_away(values: pd.DataFrame) -> str:
    means = values.groupby("strategy")[["in_domain", "shifted", "kept"]].mean()
    means = means.loc[[name for name in (UNTRAINED, "X-X-mono", "X-Y", HYBRID) if name in means.index]]
    shares = [f" ({kept:.0%} kept)" if pd.notna(kept) else "" for kept in means["kept"]]
    return ", ".join(
        f"{row.Index} {row.in_domain:.3f} → {row.shifted:.3f}{share}" for row, share in zip(means.itertuples(), shares, strict=True)
    )


def _hybrid_keeps(differences: pd.DataFrame) -> str:
    """More or less than each other strategy, where the interval over seeds says so; "" where there is no other, or no hybrid."""
    if differences["seed_low"].isna().any():
        return " (one seed: which strategy keeps more cannot be concluded)"
    if differences.empty:
        return ""
    direction = _direction(differences)
    found = {word: differences["strategy"][direction == sign] for word, sign in ((AHEAD, -1), (BEHIND, 1), (UNCLEAR, 0))}
    told = ", ".join(f"{MORE[word]} {', '.join(names)}" for word, names in found.items() if len(names))
    return f" (hybrid's share, by the interval over seeds: {told})"


def _direction(differences: pd.DataFrame) -> np.ndarray:
    """Whether a strategy clearly keeps more (1) or less (-1) alignment than hybrid: there is no test over questions, only seeds."""
    return clear_direction(differences["difference"], None, differences["seed_low"], differences["seed_high"])


def on_survival(differences: pd.DataFrame, survival: pd.DataFrame) -> list[str]:
    """S1 in one count, and whether alignment kept and accuracy kept go together."""
    told = []
    for other in in_order(set(differences["strategy"])):
        rows = differences[differences["strategy"] == other].dropna(subset=["seed_low"])
        direction = _direction(rows)
        if len(rows):
            told.append(f"than {other} in {(direction < 0).sum()} of {len(rows)} cases and less in {(direction > 0).sum()}")
    about = "a case: a shifted task, a base, questions or passages, and a measure; clearly: by the interval over seeds"
    count = [f"Under shift hybrid keeps clearly more of its alignment {'; '.join(told)} ({about})."]
    correlated = survival.dropna(subset=["correlation"])
    return (count if told else []) + [_correlations(base, rows) for base, rows in correlated.groupby("base", sort=False)]


def _correlations(base: str, rows: pd.DataFrame) -> str:
    listed = [
        f"{task}: " + ", ".join(f"{row.side}s' {MEASURES[row.measure]} {row.correlation:+z.2f}" for row in part.itertuples())
        for task, part in rows.groupby("task", sort=False)
    ]
    return (
        f"From {base}, Spearman's correlation of alignment kept with Cr. mAP kept over {rows['n'].max()} encoders (seeds of one strategy "
        f"are alike, so this describes and tests nothing): {'; '.join(listed)}."
    )


def on_languages(kinds: pd.DataFrame, unseen: Sequence[str]) -> list[str]:
    """Unseen languages apart: hybrid's Cr. mAP between trained languages and with an unseen one, and the best strategy of each."""
    if not len(unseen):
        return [
            "Every language of this run is a training language; notebook 08 holds languages out (`many_unseen`), as does a profile's "
            "`unseen_languages`."
        ]
    cross = trained(kinds)[lambda rows: rows["setting"] == CROSS]
    cross = cross.assign(held_out=(cross[["question", "pool"]] == UNSEEN).any(axis=1), total=cross["value"] * cross["pairs"])
    sums = cross.groupby(["base", "task", "strategy", "held_out"], sort=False)[["total", "pairs"]].sum()
    wide = (sums["total"] / sums["pairs"]).unstack("held_out").reindex(columns=[False, True]).set_axis([TRAINED, UNSEEN], axis=1)
    if wide[UNSEEN].isna().all():
        return [f"No task of this run has the unseen languages ({', '.join(unseen)})."]
    return [
        f"From {base}, Cr. mAP between trained languages / with {' or '.join(unseen)}: "
        + "; ".join(f"{task} {_best(rows[TRAINED])} / {_best(rows[UNSEEN])}" for task, rows in part.groupby("task", sort=False))
        + "."
        for base, part in wide.groupby("base", sort=False)
    ]


def _best(values: pd.Series) -> str:
    """Hybrid's value, and the best strategy's where it is another's; none where a task has no such pairs."""
    values = values.droplevel(["base", "task"]).dropna().round(3)
    if values.empty:
        return "none"
    best = f"{values.idxmax()} {values.max():.3f}"
    return f"hybrid {values[HYBRID]:.3f} (best: {best})" if values.get(HYBRID, values.max()) < values.max() else f"best: {best}"
