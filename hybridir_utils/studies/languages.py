"""Study S4 (notebook 08): hybrid batches and the methods of PAPER §7 at fifty languages and more, and what more languages cost.

The study is a run of its own below the profile's artefacts: other languages, pairs, task, base and steps, as `many_*` of the profile say.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pandas as pd

from ..base.languages import family_of, script_of
from ..data.batching import strategy_alpha
from ..data.worldfacts import pattern_languages
from ..experiment.encoders import EncoderKey, teachers_of, trained_encoders
from ..experiment.evaluation import Evaluations, evaluate
from ..experiment.preparation import evaluation_tasks, prepare_pairs
from ..experiment.profile import make_profile
from ..experiment.run import Run
from ..provenance.artefacts import recipe_of
from ..results.findings import HYBRID, grouped
from ..results.style import SHORT_SETTINGS, in_order, in_settings
from ..results.tables import macro, score_table, stack, trained
from ..tasks.beir import read_beir, write_beir
from ..tasks.retrieval_task import RetrievalTask
from ..train.methods import METHODS, method_of

DEBIASED = ("X-X-mono", HYBRID)  # on top of which the methods without training are tried
SEEN, UNSEEN = "trained", "unseen"
SECONDS = {"preparation_seconds": "preparation", "training_seconds": "training", "evaluation_seconds": "evaluation"}
GROWTH = ["languages", "seed", "pairs", "candidates", *SECONDS, *SHORT_SETTINGS]


def many_run(run: Run, count: int | None = None) -> Run:
    """The run of the study, over its first `count` languages where given.

    Raises InputError when the profile's `many_*` do not fit each other.
    """
    p = run.profile
    languages = (p.many_languages or p.languages)[:count]
    changes = {
        "languages": languages,
        "unseen_languages": tuple(code for code in p.many_unseen if code in languages),
        "pair_sets": p.many_pair_sets or p.pair_sets,
        "tasks": (p.many_task or p.tasks[0],),
        "shifted_tasks": (),
        "question_task": "",
        "strategies": DEBIASED,
        "task_languages": languages if p.many_languages else p.task_languages,
        "bases": (p.many_base or p.bases[-1],),
        "steps": p.many_steps or p.steps,
        "max_pairs": p.many_pairs or p.max_pairs,
        "many_languages": (),
        "many_unseen": (),
        "many_counts": (),
    }
    return replace(run, profile=make_profile(p.model_dump() | changes, f"{run.source}, notebook 08"))


def method_keys(run: Run) -> list[EncoderKey]:
    """Every encoder of the study: methods x seeds, from one base. `run` is a `many_run`."""
    p = run.profile
    alphas = {method: float("nan") if method in METHODS else strategy_alpha(method, p.alpha) for method in p.methods}
    return [EncoderKey(p.bases[0], method, alphas[method], seed) for method, seed in product(p.methods, p.seeds)]


def evaluate_methods(run: Run) -> Evaluations:
    """Encoders of all methods, trained where missing, with the untrained base, BM25 and random order on the study's task."""
    return evaluate(run, trained_encoders(run, keys=method_keys(run)), in_full=False)


def method_cost(run: Run) -> pd.DataFrame:
    """What training took: strategy, seed, steps, seconds; distillation's with its teacher's, whether or not that is a method, too."""
    keys = method_keys(run)
    teachers, rows = teachers_of(keys), []
    encoders = trained_encoders(run, keys=[*keys, *teachers.values()])
    for key in keys:
        folders = [encoders[each] for each in (key, teachers.get(key)) if each]
        seconds = sum(recipe_of(trained)["seconds"] for trained in folders)
        rows.append({"strategy": key.strategy, "seed": key.seed, "steps": run.profile.steps * len(folders), "seconds": seconds})
    return pd.DataFrame(rows)


def growth(run: Run) -> pd.DataFrame:
    """What more languages cost, and give: a row per (number of languages, seed) of the hybrid encoder, columns GROWTH.

    run: the profile's. Seconds: to prepare the pairs (translate, check, drop leaks), to train, and to encode, rank and measure the pool
    of all these languages; mAP in each setting on the languages of the smallest set, which all sets hold. No rows where the profile asks
    for no `many_counts`.
    """
    counts = sorted(run.profile.many_counts)
    return stack([_grown(many_run(run, count), count, many_run(run, counts[0])) for count in counts], GROWTH)


def growth_keys(run: Run) -> list[EncoderKey]:
    """The encoders whose cost is followed over sets of languages. `run` is a `many_run` over one of the sets."""
    p = run.profile
    return [EncoderKey(p.bases[0], HYBRID, p.alpha, seed) for seed in p.seeds]


def _grown(run: Run, count: int, common: Run) -> pd.DataFrame:
    prepared, (task,) = prepare_pairs(run), run.profile.tasks
    encoders = trained_encoders(run, keys=growth_keys(run))
    own, shared = evaluate(run, encoders, in_full=False), evaluate(common, encoders, in_full=False)
    wide = macro(shared.table("scores", strategy=HYBRID)).pivot_table(index="seed", columns="setting", values="value")
    about = {"languages": count, "pairs": len(prepared.train), "candidates": len(evaluation_tasks(run)[task].candidates)}
    rows = []
    for key, folder in encoders.items():
        seconds = [recipe_of(place)["seconds"] for place in (prepared.folder, folder, own.folders[key, task])]
        rows.append(about | {"seed": key.seed} | dict(zip(SECONDS, seconds, strict=True)) | wide.loc[key.seed].to_dict())
    return pd.DataFrame(rows)


def per_count(grown: pd.DataFrame) -> pd.DataFrame:
    """`growth` by number of languages: seconds of the fastest seed, all else as mean over seeds."""
    by_count = grown.astype({"languages": int}).groupby("languages")
    return by_count.mean(numeric_only=True).assign(**by_count[[*SECONDS]].min())


def growth_table(grown: pd.DataFrame) -> pd.DataFrame:
    """`per_count` to look at."""
    names = {column: f"{name}, s" for column, name in SECONDS.items()}
    names |= {setting: f"{short} mAP" for setting, short in SHORT_SETTINGS.items()}
    table = per_count(grown).round(3)
    table = table.assign(**table[[*SECONDS]].map("{:,.1f}".format))
    return table[[name for name in GROWTH[2:] if name in table]].rename(columns=names)


def language_list(profile) -> pd.DataFrame:
    """The study's languages: family, script, whether any batch holds them, and whether their texts are sentences or a pattern, as some
    world facts are.

    profile: of the study's run.
    """
    of_pattern = pattern_languages() if set(profile.pair_sets) == {"worldfacts"} else ()
    codes = pd.Series(profile.languages, name="language")
    training = codes.isin(profile.unseen_languages).map({True: UNSEEN, False: SEEN})
    texts = codes.isin(of_pattern).map({True: "names in a pattern", False: "sentences"})
    return codes.to_frame().assign(family=codes.map(family_of), script=codes.map(script_of), training=training, texts=texts)


def counted(languages: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """How many and which of the `language_list`, by some of its columns."""
    return languages.groupby(list(columns))["language"].agg(["size", " ".join])


def method_list(methods: tuple[str, ...]) -> pd.DataFrame:
    """What each method trains on, in which batches, and where it was published."""
    rows = [(method.strategy, method.what, method.source) for method in map(method_of, methods)]
    return pd.DataFrame(rows, columns=["batches", "pairs and loss", "source"], index=pd.Index(methods, name="method"))


def method_table(scores: pd.DataFrame, bias: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Each method's mAP in the three settings and rank distance (± over seeds), with its steps and the fastest seed's training seconds."""
    table = score_table(scores, bias).droplevel(["task", "base"])
    table = table[[name for name in (*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "rank distance") if name in table]]
    effort = cost.groupby("strategy").agg(steps=("steps", "first"), seconds=("seconds", "min"))
    return table.join(effort.assign(seconds=effort["seconds"].map("{:.1f}".format)))


def as_beir(run: Run) -> tuple[RetrievalTask, str]:
    """The study's task, written as a BEIR folder and read again, and in words whether that gives the same task."""
    (task,) = evaluation_tasks(run).values()
    write_beir(task, folder := run.artefacts / "beir" / task.name)
    same, files = read_beir(folder).summary().equals(task.summary()), sorted(path.name for path in folder.iterdir())
    return task, f"The BEIR folder holds {'the same' if same else 'another'} task: {', '.join(files)}."


def by_language(scores: pd.DataFrame, languages: pd.DataFrame) -> pd.DataFrame:
    """mAP of every question language with what `languages` says of it: strategy, setting, language, family, script, training, texts,
    value (mean over seeds and, in Cr., over pools)."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")]
    means = rows.groupby(["base", "strategy", "setting", "query_language"], sort=False)["value"].mean().reset_index()
    return means.rename(columns={"query_language": "language"}).merge(languages, on="language")


def by_group(table: pd.DataFrame, column: str, setting: str) -> pd.DataFrame:
    """Mean mAP of one setting by family, script, training or texts: groups as rows with their number of languages, methods
    and BM25 as columns."""
    rows = table[(table["setting"] == setting) & (table["strategy"] != "random")]
    wide = rows.pivot_table(index=column, columns="strategy", values="value")[in_order(rows["strategy"])]
    wide.insert(0, "languages", rows.groupby(column)["language"].nunique())
    return wide.round(3)


def on_highest(scores: pd.DataFrame) -> list[str]:
    """The best method of each setting beside hybrid, in one sentence."""
    means = trained(macro(scores)).groupby(["setting", "strategy"])["value"].mean().unstack("setting")
    told = [
        f"{SHORT_SETTINGS[setting]} {means[setting].idxmax()} ({means[setting].max():.3f}{_hybrids(means[setting].dropna(), '; hybrid ')})"
        for setting in in_settings(means)
    ]
    return [f"Highest mAP: {', '.join(told)}."] if told else []


def _hybrids(means: pd.Series, words: str) -> str:
    """Hybrid's value after some words; "" where it is none of the methods."""
    return f"{words}{means[HYBRID]:.3f}" if HYBRID in means else ""


def on_methods(scores: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """The best method of each setting, and which methods hybrid is ahead of, behind, or level with (paired tests, Holm over methods)."""
    means = trained(macro(scores)).groupby(["setting", "strategy"])["value"].mean()
    sentences = []
    for setting in in_settings(means.index.unique("setting")):
        best, against = means[setting].idxmax(), grouped(tests[tests["setting"] == setting])
        sentences.append(
            f"{SHORT_SETTINGS[setting]}: {best} is highest ({means[setting][best]:.3f}){_hybrids(means[setting], '; hybrid has ')}."
            + (f" Hybrid is {against}." if against else "")
        )
    return sentences


def on_languages(table: pd.DataFrame) -> list[str]:
    """Seen against unseen languages, and the families where hybrid is furthest ahead of and behind X-Y (`by_language`)."""
    sentences = []
    means = table.groupby(["strategy", "setting", "training"])["value"].mean()
    for setting, short in SHORT_SETTINGS.items():
        wanted = ((HYBRID, setting, SEEN), (HYBRID, setting, UNSEEN), ("untrained", setting, UNSEEN))
        seen, unseen, before = (means.get(key) for key in wanted)
        if None not in (seen, unseen, before):
            sentences.append(
                f"{short}: hybrid has {seen:.3f} in trained languages and {unseen:.3f} in unseen ones ({unseen / seen:.0%}); "
                f"the untrained base has {before:.3f} there."
            )
    if UNSEEN not in set(table["training"]):
        sentences.append("Every language of this run is in the training batches: unseen ones cannot be judged (`many_unseen`).")
    return sentences + _on_families(table)


def _on_families(table: pd.DataFrame) -> list[str]:
    rows = table[(table["setting"] == "multilingual") & table["strategy"].isin(["hybrid", "X-Y"])]
    wide = rows.pivot_table(index="family", columns="strategy", values="value").dropna()
    if wide.shape[1] < 2 or len(wide) < 2:
        return []
    gap = wide["hybrid"] - wide["X-Y"]
    return [
        f"Hybrid minus X-Y in the mixed pool is {gap.min():+z.3f} ({gap.idxmin()}) to {gap.max():+z.3f} ({gap.idxmax()}) over "
        f"{len(gap)} families; hybrid is ahead in {(gap > 0).sum()} of them."
    ]


def on_training_cost(cost: pd.DataFrame) -> list[str]:
    """The cheapest and the dearest method."""
    seconds = cost.groupby("strategy")["seconds"].min()
    return [
        f"Training took {seconds.min():.0f} ({seconds.idxmin()}) to {seconds.max():.0f} seconds ({seconds.idxmax()}) for one encoder, "
        "the fastest of its seeds."
    ]


def on_growth(growth: pd.DataFrame) -> list[str]:
    """What more languages cost, and give; nothing of a single set of them."""
    if growth.empty:
        return ["The profile asks for no `many_counts`: what more languages cost is not measured."]
    if growth["languages"].nunique() < 2:
        return []
    means = per_count(growth)
    first, last = means.iloc[0], means.iloc[-1]
    times = ", ".join(f"{last[column] / first[column]:.1f} x for {name}" for column, name in SECONDS.items())
    moved = ", ".join(f"{short} {first[s]:.3f} to {last[s]:.3f}" for s, short in SHORT_SETTINGS.items() if s in means)
    return [
        f"From {means.index[0]} to {means.index[-1]} languages ({last['candidates'] / first['candidates']:.1f} x the pool) the time is "
        f"{times}; hybrid's mAP on the first {means.index[0]} languages goes from {moved}."
    ]
