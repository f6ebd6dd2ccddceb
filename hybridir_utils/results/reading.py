"""Tables and samples that the notebooks show: what to read of pairs, plans, encoders and evaluations."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.mapped import chunks, codes
from ..data.batching import KINDS, BatchPlan
from ..experiment.evaluation import REFERENCE
from .style import SHORT_SETTINGS, in_order

PRINTED_BY_LANGUAGE = ("mAP", "R@1", "R@10", "nDCG@10", "nDCG@20", "R@100", "Recall@20", "Recall@100")
SHOWN_CHARACTERS = 2000  # of a text of a pair; a megabyte in one line would make the notebook as long
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other."""
    return pd.concat(tables, ignore_index=True)


def show_pairs(pairs, count: int = 3) -> None:
    """Display the first `count` ids that stand in every language, each language in its own direction, texts escaped and long ones cut."""
    from IPython.display import HTML, display

    ids, _ = codes(pairs, "id")
    languages = np.bincount(ids)  # an id stands once a language
    widest = np.flatnonzero(languages == languages.max())
    for chosen in widest[:: max(1, len(languages) // count)][:count]:
        rows = pairs.select(np.flatnonzero(ids == chosen)).to_pandas().sort_values("language")
        id_ = rows["id"].iloc[0]
        body = "".join(
            f"<tr><th scope='row'>{html.escape(row.language)}</th>"
            + "".join(
                f"<td style='text-align:start' dir='auto'>{html.escape(shortened(text))}</td>" for text in (row.question, row.passage)
            )
            + "</tr>"
            for row in rows.itertuples()
        )
        head = "<tr><th scope='col'>language</th><th scope='col'>question</th><th scope='col'>passage</th></tr>"
        display(HTML(f"<p><code>{html.escape(id_)}</code></p><table><thead>{head}</thead><tbody>{body}</tbody></table>"))


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def rejection_counts(rejections: pd.DataFrame) -> pd.DataFrame:
    """Rejected texts by language and check: language, check, pairs."""
    return rejections.groupby(["language", "check"]).size().rename("pairs").reset_index()


def rejected_examples(rejections: pd.DataFrame, per_check: int = 2) -> pd.DataFrame:
    """A few rejections of every check, to read."""
    return (
        rejections.groupby("check")
        .head(per_check)
        .sort_values("check")[["check", "language", "field", "detail", "text"]]
        .reset_index(drop=True)
    )


def leak_counts(leaks: pd.DataFrame, tasks) -> pd.DataFrame:
    """Hits of the leak check per task, field and kind, and the parallel groups they drop; a row of zeros where there is none."""
    rows = [
        {
            "task": task.name,
            "field": field,
            **{kind: int((part["kind"] == kind).sum()) for kind in ("exact", "near", "contained")},
            "groups": part["pair"].nunique(),
        }
        for task in tasks
        for field in ("question", "passage")
        for part in [leaks[(leaks["task"] == task.name) & (leaks["field"] == field)]]
    ]
    return pd.DataFrame(rows).set_index(["task", "field"])


def length_quantiles(pairs) -> pd.DataFrame:
    """Characters of questions and passages: language, part, q05, q25, q50, q75, q95, n."""
    import pyarrow.compute as pc

    (numbers, names), tables = codes(pairs, "language"), []
    languages = pd.Categorical.from_codes(numbers, names.to_pylist())
    for part in ("question", "passage"):
        lengths = np.concatenate([pc.utf8_length(table[part]).to_numpy() for table in chunks(pairs, [part])])
        grouped = pd.Series(lengths).groupby(languages, observed=True)
        table = pd.DataFrame({name: grouped.quantile(q) for name, q in QUANTILES.items()}).assign(n=grouped.size(), part=part)
        tables.append(table.rename_axis("language").reset_index().astype({"language": str}).sort_values("language"))
    return stack(tables)[["language", "part", *QUANTILES, "n"]]


def show_batch(plan: BatchPlan, pairs, steps: int, slots: int) -> pd.DataFrame:
    """The first slots of one step of each kind of batch the plan has."""
    rows = []
    for kind in sorted(set(plan.kinds.tolist()))[:steps]:
        step = int(np.flatnonzero(plan.kinds == kind)[0])
        for slot in range(min(slots, plan.batch_size)):
            question, passage = pairs[int(plan.question_rows[step, slot])], pairs[int(plan.passage_rows[step, slot])]
            rows.append((step, KINDS[kind], question["language"], question["question"], passage["language"], passage["passage"]))
    return pd.DataFrame(rows, columns=["step", "kind", "question language", "question", "passage language", "passage"])


def encoder_size(folder) -> str:
    """Layers and parameters of an encoder."""
    from ..encode.encoding import open_encoder

    model = open_encoder(folder)
    modules = " → ".join(type(module).__name__ for module in model)
    return f"{modules}, {model.get_embedding_dimension()} wide, {sum(p.numel() for p in model.parameters()):,} parameters"


def show_card(folder: Path):
    """The encoder's card, as Markdown."""
    from IPython.display import Markdown

    return Markdown(
        (Path(folder) / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2].replace("\n# ", "\n### ").replace("\n## ", "\n#### ")
    )


def reported_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """What is saved of all scores: every metric's macro average, and by question language those that papers print so."""
    by_language = scores[(scores["query_language"] != "macro") & scores["metric"].isin(PRINTED_BY_LANGUAGE)]
    keys = ["base", "strategy", "alpha", "seed", "task", "setting", "query_language", "metric"]
    means = by_language.groupby(keys, dropna=False, sort=False).agg(value=("value", "mean"), n=("n", "sum")).reset_index()
    return stack([scores[scores["query_language"] == "macro"], means])


def reported_bias(bias: pd.DataFrame) -> pd.DataFrame:
    """What is saved of all bias measures: the macro averages, and by language those that figures show."""
    shown = bias["measure"].isin(["same-language share@10", "same-language pool share", "rank distance"])
    return bias[(bias["query_language"] == "macro") | shown]


def distance_percentiles(questions: pd.DataFrame) -> pd.DataFrame:
    """Percentiles 0..100 of the rank distance over questions and seeds: task, base, strategy, percentile, rank_distance."""
    rows = questions.dropna(subset=["rank_distance"])
    grid = np.arange(0, 101)
    grouped = rows.groupby(["task", "base", "strategy"], sort=False)["rank_distance"]
    return stack(
        [
            pd.DataFrame(
                {"task": task, "base": base, "strategy": strategy, "percentile": grid, "rank_distance": np.percentile(values, grid)}
            )
            for (task, base, strategy), values in grouped
        ]
    )


def with_undebiased(debiasing: pd.DataFrame, scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """The training-free methods' results with those of the encoders themselves as method `none`."""
    keys = ["base", "strategy", "alpha", "seed", "task"]
    present = debiasing[keys].drop_duplicates()
    plain = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP")].merge(present, on=keys)
    distance = bias[(bias["query_language"] == "macro") & (bias["measure"] == "rank distance")].merge(present, on=keys)
    distance = distance.assign(setting="multilingual", metric="rank distance")
    none = stack([plain, distance])[[*keys, "setting", "metric", "value"]].assign(method="none")
    return stack([debiasing, none])[[*keys, "method", "setting", "metric", "value"]]


def debiasing_table(debiasing: pd.DataFrame) -> pd.DataFrame:
    """mAP per setting and rank distance by base, strategy and method, mean over seeds."""
    names = debiasing["setting"].map(SHORT_SETTINGS).where(debiasing["metric"] == "mAP", "rank distance")
    wide = debiasing.assign(column=names).pivot_table(index=["base", "strategy", "method"], columns="column", values="value")
    methods = ["none", "centring", "lir", "lsar"]
    order = [
        (b, s, m)
        for b in sorted(set(debiasing["base"]) - {REFERENCE})
        for s in in_order(debiasing["strategy"])
        for m in methods
        if (b, s, m) in wide.index
    ]
    return wide.loc[order, [*SHORT_SETTINGS.values(), "rank distance"]].round(3)
