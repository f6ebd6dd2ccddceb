"""Study S4: the run of fifty languages below a profile, its encoders and costs, tables and sentences of notebook 08."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import bias, many_languages

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.experiment.encoders import EncoderKey, teachers_of, trained_encoders
from hybridir_utils.experiment.evaluation import Evaluations
from hybridir_utils.experiment.profile import load_profile, make_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.results.tables import as_texts
from hybridir_utils.studies import languages as study
from hybridir_utils.studies import plots
from hybridir_utils.studies.languages import on_growth, on_highest, on_languages, on_methods, on_training_cost
from hybridir_utils.train.methods import METHODS

TINY = {
    "languages": ("de", "en", "es"),
    "many_languages": ("en", "de", "fr", "gu"),
    "many_unseen": ("fr",),
    "many_pairs": 60,
    "many_steps": 3,
    "many_counts": (2, 4),
    "batch_size": 16,
    "seeds": (1,),
    "dimension": 8,
    "vocabulary": 500,
    "alignment_steps": 2,
    "jobs": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(tmp_path_factory.mktemp("many")))
        yield open_run("sample", **TINY)


@pytest.fixture(scope="module")
def evaluations(run):
    return study.evaluate_methods(study.many_run(run))


def test_the_study_is_a_run_of_its_own_in_the_same_folders(run):
    many = study.many_run(run)
    assert many.results == run.results and many.artefacts == run.artefacts
    p = many.profile
    assert p.languages == TINY["many_languages"] and p.unseen_languages == ("fr",) and p.tasks == ("worldfacts-brief",)
    assert (p.steps, p.max_pairs, p.bases) == (3, 60, ("unaligned",))
    assert study.many_run(run, 2).profile.languages == ("en", "de") and study.many_run(run, 2).profile.unseen_languages == ()


def test_a_profile_without_values_of_its_own_compares_on_its_own_languages():
    without = {"many_languages": (), "many_unseen": (), "many_task": ""}
    own = load_profile("pretrained", without)
    many = study.many_run(open_run("pretrained", **without)).profile
    assert many.languages == own.languages and many.tasks == own.tasks[:1] and many.steps == own.steps
    assert many.pair_sets == own.pair_sets and many.bases == own.bases[-1:]


def test_every_method_trains_an_encoder_of_its_own_and_is_evaluated(run, evaluations):
    many = study.many_run(run)
    scores = evaluations.table("scores")
    assert set(scores["strategy"]) == {*many.profile.methods, "untrained", "BM25", "random"}
    macro = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP") & (scores["setting"] == "multilingual")]
    trained = macro[macro["base"] != "reference"].set_index("strategy")["value"]
    assert trained.nunique() == len(trained), "two methods gave one encoder"
    folders = trained_encoders(many, keys=study.method_keys(many))
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders.values()}) == len(many.profile.methods)


def test_methods_of_which_none_is_debiased_say_so(evaluations):
    """What notebook 08 asks before it shows the table: X-X-mono and hybrid have one, the other methods none."""
    for strategy in study.DEBIASED:
        assert evaluations.table("debiasing", strategy=strategy)["method"].nunique() == 5
    others = Evaluations({key: folder for key, folder in evaluations.folders.items() if key[0].strategy in METHODS})
    assert evaluations.has("debiasing") and others.has("scores") and not others.has("debiasing")


def test_no_batch_holds_an_unseen_language(run, evaluations):
    from hybridir_utils.experiment.preparation import prepare_pairs

    prepared = prepare_pairs(study.many_run(run))
    assert set(prepared.train.unique("language")) == {"en", "de", "gu"}
    heat = evaluations.table("heat")
    assert set(heat["query_language"]) == set(TINY["many_languages"])


def test_distillation_learns_from_the_en_en_encoder_of_its_seed(run, evaluations):
    many = study.many_run(run)
    folders = trained_encoders(many, keys=study.method_keys(many))
    by_name = {key.strategy: folder for key, folder in folders.items()}
    recipe = json.loads((by_name["distillation"] / "artefact.json").read_text(encoding="utf-8"))["recipe"]
    assert recipe["teacher"] == by_name["En-En"].name
    (teacher,) = teachers_of([EncoderKey("b", "distillation", 0.5, 7), EncoderKey("b", "hybrid", 0.5, 7)]).values()
    assert (teacher.base, teacher.strategy, teacher.seed) == ("b", "En-En", 7)


def test_cost_counts_the_teacher_too(run, evaluations):
    cost = study.method_cost(study.many_run(run)).set_index("strategy")
    assert cost.loc["distillation", "steps"] == 6 and cost.loc["hybrid", "steps"] == 3
    assert cost.loc["distillation", "seconds"] > cost.loc["En-En", "seconds"] > 0


def test_distillation_costs_its_teacher_also_where_that_is_no_method(run, evaluations):
    whole, alone = (
        study.method_cost(study.many_run(open_run("sample", **TINY, **changes))).set_index("strategy")
        for changes in ({}, {"methods": ("X-Y", "distillation")})
    )
    assert alone.loc["distillation"].equals(whole.loc["distillation"]) and list(alone.index) == ["X-Y", "distillation"]


def test_growth_compares_on_the_languages_all_sets_hold(run, evaluations):
    grown = study.growth(run)
    assert grown["languages"].tolist() == [2, 4] and grown["candidates"].is_monotonic_increasing and grown["pairs"].is_monotonic_increasing
    assert (grown[["preparation_seconds", "training_seconds", "evaluation_seconds"]] > 0).all(axis=None)
    assert grown[["monolingual", "cross-lingual", "multilingual"]].notna().all(axis=None)
    own = study.evaluate(study.many_run(run, 2), trained_encoders(study.many_run(run, 2), keys=[EncoderKey("unaligned", "hybrid", 0.5, 1)]))
    (value,) = own.table("scores", strategy="hybrid").query("query_language == 'macro' and metric == 'mAP' and setting == 'multilingual'")[
        "value"
    ]
    assert grown.loc[grown["languages"] == 2, "multilingual"].iloc[0] == pytest.approx(value)


def test_what_does_not_fit_is_refused():
    sample = load_profile("sample").model_dump()
    with pytest.raises(UnknownName, match="unseen language"):
        make_profile({**sample, "many_unseen": ("yo",)}, "here")
    with pytest.raises(InputError, match=r"unknown method 'distilation' .did you mean 'distillation'"):
        make_profile({**sample, "methods": ("distilation",)}, "here")
    with pytest.raises(InputError, match="d e"):
        make_profile({**sample, "many_languages": ("d e",)}, "here")
    with pytest.raises(InputError, match=r"here: many_counts asks for 99 languages, and there are 52\. Lower it, or add to many_languages"):
        make_profile({**sample, "many_counts": (99, 11)}, "here")
    own = {**sample, "many_languages": (), "many_unseen": (), "many_counts": ()}
    with pytest.raises(InputError, match=f"asks for 52 languages, and there are {len(sample['languages'])}"):
        make_profile({**own, "many_counts": (52,)}, "here")
    last = sample["languages"][-1]
    held_out = study.many_run(replace(open_run("sample"), profile=make_profile({**own, "many_unseen": (last,)}, "here"))).profile
    assert held_out.unseen_languages == (last,), "languages of the study are the profile's where it names no others"
    with pytest.raises(UnknownName, match="unseen language"):
        make_profile({**own, "many_unseen": ("yo",)}, "here")
    with pytest.raises(UnknownName, match="shifted task"):
        make_profile({**sample, "shifted_tasks": ("worldfacts-test",)}, "here")


def test_languages_are_listed_with_what_they_are():
    p = load_profile("sample").model_copy(update={"languages": ("en", "gu"), "unseen_languages": ("gu",)})
    table = study.language_list(p).set_index("language")
    assert table.loc["gu"].tolist() == ["Indo-Iranian", "Gujr", "unseen", "names in a pattern"]
    assert table.loc["en"].tolist() == ["Germanic", "Latn", "trained", "sentences"]
    others = study.language_list(p.model_copy(update={"pair_sets": ("mscourses",)}))
    assert set(others["texts"]) == {"sentences"}


def test_groups_average_their_languages():
    rows = [("b", "hybrid", "multilingual", code, value) for code, value in (("en", 0.5), ("de", 0.7), ("ar", 0.2))]
    scores = pd.DataFrame(rows, columns=["base", "strategy", "setting", "query_language", "value"]).assign(metric="mAP")
    languages = pd.DataFrame({"language": ["en", "de", "ar"], "family": ["Germanic", "Germanic", "Afro-Asiatic"]})
    wide = study.by_group(study.by_language(scores, languages), "family", "multilingual")
    assert wide.loc["Germanic"].tolist() == [2, 0.6] and wide.loc["Afro-Asiatic"].tolist() == [1, 0.2]


def made_up_tests(differences, p=0.01, seeds=3):
    rows = [(name, d, d - 0.01, d + 0.01) for name, d in differences.items()]
    table = pd.DataFrame(rows, columns=["strategy", "mean_difference", "seed_low", "seed_high"])
    return table.assign(setting="multilingual", p_holm=p, n_seeds=seeds)


def fixed_scores(values):
    rows = [("b", name, "multilingual", "macro", "mAP", value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["base", "strategy", "setting", "query_language", "metric", "value"])


def test_methods_are_named_by_what_the_tests_say():
    scores = fixed_scores({"hybrid": 0.6, "X-Y": 0.7, "crop": 0.1, "untrained": 0.9})
    (told,) = on_methods(scores, made_up_tests({"X-Y": 0.1, "crop": -0.5}))
    assert "Mul.: X-Y is highest (0.700); hybrid has 0.600." in told
    assert "Hybrid is ahead of crop (+0.500), behind X-Y (-0.100)." in told
    (told,) = on_methods(scores, made_up_tests({"X-Y": 0.1}, p=0.2))
    assert "not clearly different from X-Y" in told
    assert on_highest(scores) == ["Highest mAP: Mul. X-Y (0.700; hybrid 0.600)."]
    without = scores[scores["strategy"] != "hybrid"]
    assert on_highest(without) == ["Highest mAP: Mul. X-Y (0.700)."]
    assert on_methods(without, made_up_tests({})) == ["Mul.: X-Y is highest (0.700)."]


def language_rows(seen, unseen):
    rows = [("hybrid", "en", "Germanic", "trained", seen), ("hybrid", "te", "Dravidian", "unseen", unseen)]
    rows += [
        ("untrained", "te", "Dravidian", "unseen", 0.1),
        ("X-Y", "en", "Germanic", "trained", 0.4),
        ("X-Y", "te", "Dravidian", "unseen", 0.4),
    ]
    table = pd.DataFrame(rows, columns=["strategy", "language", "family", "training", "value"])
    return table.assign(base="b", setting="multilingual")


def test_unseen_languages_are_spoken_of_apart():
    first, families = on_languages(language_rows(0.8, 0.2))
    assert first == "Mul.: hybrid has 0.800 in trained languages and 0.200 in unseen ones (25%); the untrained base has 0.100 there."
    assert "-0.200 (Dravidian) to +0.400 (Germanic) over 2 families; hybrid is ahead in 1" in families
    assert "cannot be judged" in on_languages(language_rows(0.8, 0.2).query("training == 'trained'"))[0]


def test_cost_is_told_from_the_tables():
    tables = many_languages(np.random.default_rng(1))
    seconds = tables["many_cost"].groupby("strategy")["seconds"].min()
    (first,), (second,) = on_training_cost(tables["many_cost"]), on_growth(tables["many_growth"])
    assert f"({seconds.idxmin()})" in first and f"({seconds.idxmax()})" in first
    assert "From 2 to 3 languages (1.5 x the pool)" in second and "1.0 x for training" in second and "1.5 x for evaluation" in second
    assert "no `many_counts`" in on_growth(tables["many_growth"].iloc[:0])[0]
    shown = study.growth_table(tables["many_growth"])
    assert shown.index.tolist() == [2, 3] and pd.api.types.is_integer_dtype(shown.index)
    assert list(shown)[2:] == ["preparation, s", "training, s", "evaluation, s", "Mo. mAP", "Cr. mAP", "Mul. mAP"]


def test_a_first_training_that_also_reads_and_tokenises_counts_in_no_time():
    """In the sentence, the table and the figures: of each method's seeds the fastest."""
    rows = [("hybrid", 1, 9.0), ("hybrid", 2, 2.0), ("X-Y", 1, 3.0), ("X-Y", 2, 3.0)]
    cost = pd.DataFrame([(*row, 10) for row in rows], columns=["strategy", "seed", "seconds", "steps"])
    tables = many_languages(np.random.default_rng(1)) | {"many_cost": cost}
    (said,) = on_training_cost(cost)
    assert said == "Training took 2 (hybrid) to 3 seconds (X-Y) for one encoder, the fastest of its seeds."
    axes = plots.cost(tables["many_scores"], cost).axes
    for ax in axes:
        right, highest = (max(line.get_data()[side][0] for line in ax.lines) for side in range(2))
        assert ax.get_xlim()[1] > 1.02 * right and ax.get_ylim()[1] > 1.02 * highest, "no dot is cut by the frame"
    drawn = {line.get_label(): line.get_xdata()[0] for line in axes[0].lines}
    assert drawn == {"hybrid": 2.0, "X-Y": 3.0}
    tables["many_growth"].loc[0, "training_seconds"] = 500.0
    axes, shown = plots.growth(tables["many_growth"]).axes, study.growth_table(tables["many_growth"])
    lines = axes[0].lines
    assert [max(line.get_ydata()) < 500 for line in lines] == [True] * 3
    for line, column in zip(lines, ("preparation, s", "training, s", "evaluation, s"), strict=True):
        assert list(shown[column]) == [f"{seconds:.1f}" for seconds in line.get_ydata()], "figure and table tell the same seconds"


def test_methods_are_described():
    table = study.method_list(("hybrid", *METHODS))
    assert table.loc["hybrid", "batches"] == "hybrid" and table.loc["translation ranking", "batches"] == "X-Y"
    assert table["source"].str.len().min() > 10 and table["pairs and loss"].nunique() == len(table)


def test_the_table_of_methods_has_steps_where_there_was_training():
    tables = many_languages(np.random.default_rng(1))
    table = study.method_table(tables["many_scores"], bias(np.random.default_rng(1), ("worldfacts-test",)), tables["many_cost"])
    steps = as_texts(table)["steps"]
    assert set(steps.loc[["hybrid"]]) == {"100"} and set(steps.loc[["untrained", "BM25"]]) == {"–"}
