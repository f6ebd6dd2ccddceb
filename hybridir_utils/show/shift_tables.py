"""Tables of notebook 06: accuracy and alignment in domain and under shift, trained and unseen languages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from ..rank.retention import COLUMNS, retention
from ..rank.significance import seed_interval
from ..steps.evaluation import NOT_TRAINED, REFERENCE
from ..tasks.retrieval_task import RetrievalTask
from .style import SETTINGS, in_order
from .tables import test_table

HYBRID = "hybrid"
ENCODER = ["base", "strategy", "seed"]
KEPT_MEASURES = ("alignment_gap", "translation_accuracy")  # those of which a share can be kept
TRAINED, UNSEEN = "trained", "unseen"


def languages_of(tasks: Mapping[str, RetrievalTask], wanted: Sequence[str]) -> pd.DataFrame:
    """By task: questions, candidates, languages, and the wanted languages that it lacks."""
    rows = [
        (name, len(task.queries), len(task.candidates), " ".join(task.languages), _lacking(task, wanted)) for name, task in tasks.items()
    ]
    return pd.DataFrame(rows, columns=["task", "questions", "candidates", "languages", "lacking"]).set_index("task")


def _lacking(task: RetrievalTask, wanted: Sequence[str]) -> str:
    return " ".join(language for language in wanted if language not in task.languages)


def kept_table(questions: pd.DataFrame, in_domain: str, shifted: Sequence[str], resamples: int) -> pd.DataFrame:
    """Mean AP in domain and under shift and the share kept (`retention`), for each shifted task, base and setting, against hybrid.

    The untrained base stands among the strategies; public retrievers and BM25, which have nothing to be compared with, are their own
    baseline. questions: task, base, strategy, seed, setting, group, AP. No rows for a task that is searched to a depth: it has no AP.
    """
    rows, tables = questions[questions["strategy"] != "random"].dropna(subset=["AP"]), []
    for task in shifted:
        for (base, setting), home in rows[rows["task"] == in_domain].groupby(["base", "setting"], sort=False):
            away = rows[(rows["task"] == task) & (rows["base"] == base) & (rows["setting"] == setting)]
            if len(away):
                baseline = HYBRID if HYBRID in set(home["strategy"]) else home["strategy"].iloc[0]
                kept = retention(_values(home), _values(away), baseline, resamples)
                tables.append(kept.assign(task=task, base=base, setting=setting))
    return pd.concat(tables, ignore_index=True)[["task", "base", "setting", *COLUMNS]] if tables else _no_rows("base", "setting", *COLUMNS)


def _values(questions: pd.DataFrame) -> pd.DataFrame:
    return questions[["strategy", "seed", "group", "AP"]].rename(columns={"AP": "value"})


def _no_rows(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(columns=["task", *columns])


def kept_wide(kept: pd.DataFrame) -> pd.DataFrame:
    """For readers: mAP in domain, mAP under shift, and the share kept with its interval, in each setting."""
    cells = kept.assign(
        mAP=[f"{row.in_domain:.3f} → {row.shifted:.3f}" for row in kept.itertuples()],
        kept=[f"{row.kept:.2f} [{row.kept_low:.2f}, {row.kept_high:.2f}]" for row in kept.itertuples()],
        setting=kept["setting"].map(SETTINGS),
    )
    wide = cells.pivot(index=["task", "base", "strategy"], columns="setting", values=["mAP", "kept"]).swaplevel(axis=1)
    rank, tasks = in_order(kept["strategy"]), list(dict.fromkeys(kept["task"]))
    order = sorted(wide.index, key=lambda key: (tasks.index(key[0]), key[1] == REFERENCE, key[1], rank.index(key[2])))
    return wide.reindex(order)[[(short, cell) for short in SETTINGS.values() for cell in ("mAP", "kept") if (short, cell) in wide]]


def shift_tests(questions: pd.DataFrame, shifted: Sequence[str], unseen: Collection[str], resamples: int) -> pd.DataFrame:
    """Paired tests of every strategy against hybrid on each shifted task (`tables.test_table`), over all questions (column questions: all),
    and once more over those in languages unseen in training. measure: AP; of a task that is searched to a depth, its own first measure.
    """
    tables = []
    for task in shifted:
        rows = questions[questions["task"] == task]
        for name, part in {"all": rows, UNSEEN: rows[rows["query_language"].isin(list(unseen))]}.items():
            if len(part):
                tables.append(test_table(part, _measure(rows), resamples).assign(questions=name))
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else _no_rows("base", "setting", "measure", "strategy", "questions")


def _measure(rows: pd.DataFrame) -> str:
    return next(name for name in ("AP", *(column for column in rows if "@" in column)) if rows[name].notna().any())


def alignment_means(alignment: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Alignment measures of each encoder on each side of each task, the mean over ordered pairs of languages where they have some.

    task, base, strategy, seed, side, measure, value. A task without parallel texts has no rows.
    """
    rows = alignment[alignment["task"].isin(list(tasks))]
    return rows.groupby(["task", *ENCODER, "side", "measure"], sort=False)["value"].mean().reset_index()


def alignment_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: mean over seeds of every measure; rows side, base, strategy, columns measure and task."""
    keys = ["side", "base", "strategy"]
    wide = means.pivot_table(index=keys, columns=["measure", "task"], values="value", sort=False)
    rank = in_order(means["strategy"])
    return wide.loc[sorted(wide.index, key=lambda key: (key[0], key[1], rank.index(key[2])))].round(3)


def alignment_kept(means: pd.DataFrame, in_domain: str, shifted: Sequence[str]) -> pd.DataFrame:
    """Alignment of each encoder in domain and under shift, and kept = shifted / in_domain.

    task, base, strategy, seed, side, measure (KEPT_MEASURES), in_domain, shifted, kept; NaN where the alignment in domain is not positive.
    A side whose texts are the same in both, as the sample's questions are, is not shifted and has no rows.
    """
    keys = [*ENCODER, "side", "measure"]
    rows = means[means["measure"].isin(KEPT_MEASURES)]
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
    rows, keys = [], ["task", "base", "side", "measure"]
    trained = kept[~kept["strategy"].isin(NOT_TRAINED)].dropna(subset=["kept"])
    for about, part in trained.groupby(keys, sort=False):
        per_seed = part.set_index(["strategy", "seed"])["kept"]
        means = per_seed.groupby("strategy").mean()
        for strategy in in_order(set(means.index) - {HYBRID}) if HYBRID in means else []:
            values = {"kept": means[strategy], HYBRID: means[HYBRID], "difference": means[strategy] - means[HYBRID]}
            rows.append(
                {**dict(zip(keys, about, strict=True)), "strategy": strategy, **values, **seed_interval(per_seed, strategy, HYBRID)}
            )
    columns = [*keys, "strategy", "kept", HYBRID, "difference", "n_seeds", "seed_low", "seed_high", "note"]
    return pd.DataFrame(rows, columns=columns)


def survival(kept: pd.DataFrame, questions: pd.DataFrame, in_domain: str) -> pd.DataFrame:
    """Do encoders that keep more of their alignment keep more of their accuracy? Spearman's correlation over trained encoders.

    task, base, side, measure, correlation, n. Accuracy kept: mean cross-lingual AP under shift / in domain. kept: `alignment_kept`.
    """
    cross = questions[questions["setting"] == "cross-lingual"].groupby(["task", *ENCODER])["AP"].mean()
    accuracy = (cross / cross[in_domain].reindex(cross.index.droplevel("task")).to_numpy()).rename("accuracy").reset_index()
    trained = kept[~kept["strategy"].isin(NOT_TRAINED)]
    both = trained.merge(accuracy, on=["task", *ENCODER]).dropna(subset=["kept", "accuracy"])
    groups = both.groupby(["task", "base", "side", "measure"], sort=False)
    rows = [(*about, _spearman(part["kept"], part["accuracy"]), len(part)) for about, part in groups]
    return pd.DataFrame(rows, columns=["task", "base", "side", "measure", "correlation", "n"])


def _spearman(one: pd.Series, other: pd.Series) -> float:
    """NaN below three values or where all are equal."""
    return one.corr(other, method="spearman") if len(one) > 2 and one.nunique() > 1 and other.nunique() > 1 else float("nan")


def language_kinds(scores: pd.DataFrame, tasks: Sequence[str], unseen: Collection[str]) -> pd.DataFrame:
    """mAP by whether the question's and the pool's language are trained or unseen: the mean over languages or pairs, then over seeds.

    task, base, strategy, setting, question, pool (`all` in the mixed pool), value, sd (over seeds), n_seeds, pairs.
    """
    rows = scores[(scores["metric"] == "mAP") & (scores["query_language"] != "macro") & scores["task"].isin(list(tasks))]
    kind = {language: UNSEEN if language in set(unseen) else TRAINED for language in set(rows["query_language"])}
    rows = rows.assign(
        question=rows["query_language"].map(kind),
        pool=rows["candidate_language"].map(lambda code: code if code == "all" else UNSEEN if code in set(unseen) else TRAINED),
    )
    keys = ["task", "base", "strategy", "setting", "question", "pool"]
    per_seed = rows.groupby([*keys, "seed"], sort=False)["value"].agg(["mean", "size"])
    grouped = per_seed.groupby(keys, sort=False)
    table = grouped["mean"].agg(["mean", "std", "size"]).set_axis(["value", "sd", "n_seeds"], axis=1)
    return table.assign(pairs=grouped["size"].first()).reset_index()


def language_kinds_wide(kinds: pd.DataFrame) -> pd.DataFrame:
    """For readers: mAP of trained strategies, columns setting and question → pool language."""
    rows = kinds[(kinds["base"] != REFERENCE) | (kinds["strategy"] == "BM25")]
    rows = rows.assign(languages=rows["question"] + " → " + rows["pool"], setting=rows["setting"].map(SETTINGS))
    wide = rows.pivot_table(index=["task", "base", "strategy"], columns=["setting", "languages"], values="value", sort=False)
    return wide.round(3)
