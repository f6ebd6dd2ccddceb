"""Result tables for readers, each a function of saved tidy tables."""

from __future__ import annotations

import pandas as pd

from ..experiment.evaluation import NOT_TRAINED, REFERENCE
from ..rank.significance import TESTED, compare
from .paper import TASKS, beside_references, in_our_names, judged, paper_scores
from .style import SHORT_SETTINGS, in_order

KEYS = ["task", "base", "strategy"]
BY_LANGUAGE = [*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "Mo. nDCG@10", "rank distance"]
TEST_KEYS = ["task", "base", "setting", "measure"]
PAPER_TASKS = {"xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R"}  # those of all three settings


def score_table(scores: pd.DataFrame, bias: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of the macro mAP in each setting, R@1, R@10, and the rank distance."""
    macro = scores[scores["query_language"] == "macro"]
    cells = {f"{short} mAP": _cell(macro, setting, "mAP") for setting, short in SHORT_SETTINGS.items()}
    cells |= {f"{short} R@1": _cell(macro, setting, "R@1") for setting, short in list(SHORT_SETTINGS.items())[:2]}
    cells["Mul. R@10"] = _cell(macro, "multilingual", "R@10")
    if bias is not None:
        rows = bias[(bias["measure"] == "rank distance") & (bias["query_language"] == "macro")]
        cells["rank distance"] = rows.groupby(KEYS, sort=False)["value"].agg(lambda v: _with_spread(v, 0))
    return _ordered(pd.DataFrame(cells), scores["task"])


def metric_table(scores: pd.DataFrame, task: str) -> pd.DataFrame:
    """Macro average over languages or pairs of every metric in each setting, mean over seeds, of one task."""
    macro = scores[(scores["query_language"] == "macro") & (scores["task"] == task)]
    wide = macro.pivot_table(index=KEYS, columns=["setting", "metric"], values="value")
    return _ordered(wide, macro["task"]).round(3)


def search_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Macro averages of the tasks whose large pools are searched to a depth, their own measures as columns, mean over seeds ± deviation.

    Empty where a run has none: such tasks have no mAP over full rankings.
    """
    searched = scores[~scores["task"].isin(scores.loc[scores["metric"] == "mAP", "task"])]
    macro = searched[searched["query_language"] == "macro"]
    keys = [*KEYS, "setting", "metric"]
    return macro.groupby(keys, sort=False)["value"].agg(lambda values: _with_spread(values, 3)).unstack("metric")


def language_table(scores: pd.DataFrame, task: str, base: str) -> pd.DataFrame:
    """mAP by question language and setting, mean over seeds, of one task and base."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP") & (scores["task"] == task)]
    rows = rows[rows["base"].isin([base, REFERENCE])]
    wide = rows.pivot_table(index=["setting", "strategy"], columns="query_language", values="value")
    order = [(setting, s) for setting in SHORT_SETTINGS for s in in_order(rows["strategy"]) if (setting, s) in wide.index]
    return wide.loc[order].round(3)


def test_table(questions: pd.DataFrame, value: str, resamples: int, baseline: str = "hybrid") -> pd.DataFrame:
    """Paired tests of every trained strategy against `baseline`, a strategy or the untrained base, for each task, base and setting.

    questions: task, base, strategy, seed, setting, group and the column `value`. See significance.compare for the columns. No rows
    where nothing can be compared.
    """
    left_out = [name for name in NOT_TRAINED if name != baseline]
    rows = questions[(questions["base"] != REFERENCE) & ~questions["strategy"].isin(left_out)].dropna(subset=[value])
    tables = []
    for (task, base, setting), part in rows.groupby(["task", "base", "setting"], sort=False):
        if part["strategy"].nunique() > 1 and baseline in set(part["strategy"]):
            per = part[["strategy", "seed", "group", value]].rename(columns={value: "value"})
            tables.append(compare(per, baseline, resamples).assign(task=task, base=base, setting=setting, measure=value))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*TEST_KEYS, *TESTED])
    return table[[*TEST_KEYS, *[c for c in table.columns if c not in TEST_KEYS]]]


def bias_table(bias: pd.DataFrame, task: str) -> pd.DataFrame:
    """Every measure of language bias, macro average over question languages, mean over seeds, of one task."""
    rows = bias[(bias["query_language"] == "macro") & (bias["task"] == task)]
    wide = rows.pivot_table(index=KEYS, columns="measure", values="value", sort=False)
    return _ordered(wide, rows["task"]).round(3)


def paper_table(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """The paper's macro averages beside ours for the tasks they share; without such a task, the paper's alone."""
    shared = [task for task in PAPER_TASKS if task in set(scores["task"])]
    paper = paper_scores()
    if not shared:
        return paper
    ours = score_table(scores[scores["task"].isin(shared)], bias[bias["task"].isin(shared)])
    ours = ours[[*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "rank distance"]]
    ours = ours.rename(index=PAPER_TASKS, level="task").reset_index().rename(columns={"base": "encoder"})
    ours["encoder"] = "ours, " + ours["encoder"]
    return (
        pd.concat([paper.reset_index(), ours], ignore_index=True)
        .set_index(["task", "encoder", "strategy"])
        .sort_index(level=0, sort_remaining=False)
    )


def paper_by_language(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """The paper's numbers per question language beside ours (mean over seeds), on each of its tasks that the run has: mAP and rank
    distance, for MIRACL nDCG@10.

    Rows are (task, measure, language), columns (encoder, strategy); a run with none of its tasks leaves the paper's columns of the first.
    """
    theirs = in_our_names().rename(columns={"language": "query_language"})
    distances = bias[bias["measure"] == "rank distance"].assign(setting="multilingual", metric="rank distance")
    ours = pd.concat([scores, distances])
    ours = ours[(ours["query_language"] != "macro") & (ours["base"] != REFERENCE)]
    shared = [task for task in TASKS.values() if task in set(ours["task"])] or [*TASKS.values()][:1]
    rows = pd.concat([theirs.assign(encoder="paper, " + theirs["model"]), ours.assign(encoder="ours, " + ours["base"])])
    rows = rows[rows["task"].isin(shared)].assign(measure=lambda rows: _measure(rows["setting"], rows["metric"]))
    rows = rows[rows["measure"].isin(BY_LANGUAGE)].sort_values("task", key=lambda names: names.map(shared.index), kind="stable")
    keys = ["task", "measure", "query_language"]
    wide = rows.pivot_table(index=keys, columns=["encoder", "strategy"], values="value", sort=False)
    order = {"task": shared.index, "measure": BY_LANGUAGE.index}
    return wide.sort_index(key=lambda level: level.map(order[level.name]) if level.name in order else level).round(3)


def _measure(setting: pd.Series, metric: pd.Series) -> pd.Series:
    """`Mo. mAP`, … ; the rank distance has one setting."""
    return (setting.map(SHORT_SETTINGS) + " " + metric).where(metric != "rank distance", metric)


def reference_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Published averages of public encoders beside ours, by task and system: setting, metric, published, ours, verdict, source.

    Empty where the run evaluates none of them on all languages of a task (`checking.check` has the tolerances).
    """
    rows = judged(beside_references(scores))
    return rows.set_index(["task", "model"])[["setting", "metric", "published", "ours", "verdict", "source"]].round(3)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, its index as columns; a bar or line break inside a cell is escaped."""
    flat = table.reset_index()
    columns = [" ".join(filter(None, map(str, c))) if isinstance(c, tuple) else str(c) for c in flat.columns]
    rows = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in flat.itertuples(index=False, name=None)]
    cells_of = [[" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells] for cells in [columns, ["---"] * len(columns), *rows]]
    lines = ["| " + " | ".join(cells) + " |" for cells in cells_of]
    return "\n".join(lines) + "\n"


def _cell(macro: pd.DataFrame, setting: str, metric: str) -> pd.Series:
    rows = macro[(macro["setting"] == setting) & (macro["metric"] == metric)]
    return rows.groupby(KEYS, sort=False)["value"].agg(lambda v: _with_spread(v, 3))


def _with_spread(values: pd.Series, digits: int) -> str:
    mean = f"{values.mean():,.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std():,.{digits}f}"


def _ordered(table: pd.DataFrame, tasks: pd.Series) -> pd.DataFrame:
    """Tasks as they come in `tasks`, trained bases before the references, strategies in the figures' order."""
    tasks, rank = list(dict.fromkeys(tasks)), in_order(table.index.get_level_values("strategy"))
    return table.loc[sorted(table.index, key=lambda key: (tasks.index(key[0]), key[1] == REFERENCE, key[1], rank.index(key[2])))]
