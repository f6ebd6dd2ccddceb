"""The package's face: `import hybridir_utils as hy`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hybridir_utils as hy
from hybridir_utils import library
from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.provenance.fingerprints import package_imports, used_code, used_places
from hybridir_utils.rank import bias, metrics, ranking
from hybridir_utils.rank.debiasing import fit_centring
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import RetrievalTask
from hybridir_utils.tasks.searched_task import Search, SearchTask

LAZY = "import sys, hybridir_utils as hy; print(hy.__version__, *dir(hy)); print(*sys.modules)"


@pytest.fixture(scope="module")
def task() -> RetrievalTask:
    """Eight parallel questions in two languages, each with its answer in both."""
    rows = [(f"{language}{n}", f"q{n}", language, f"{language} {n}") for language in ("de", "en") for n in range(8)]
    texts = pd.DataFrame(rows, columns=["id", "group", "language", "text"])
    relevance = texts.merge(texts, on="group", suffixes=("_q", "_c"))[["id_q", "id_c"]].set_axis(["query", "candidate"], axis=1)
    return RetrievalTask("made-up", texts, texts, relevance)


def vectors(task: RetrievalTask, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Questions and candidates near the direction of their group: the less noise, the better the encoder."""
    rng, group = np.random.default_rng(seed), pd.factorize(task.queries["group"])[0]
    return tuple((np.eye(8)[group] + noise * rng.normal(size=(16, 8))).astype(np.float32) for _ in range(2))


def test_importing_the_package_loads_no_library_and_names_its_functions():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    names, loaded = (line.split() for line in done.stdout.splitlines())
    assert set(hy.__all__) <= set(names) and names[0] == hy.__version__
    assert not {"torch", "pandas", "numpy", "datasets", "scipy"} & {name.split(".")[0] for name in loaded}


def test_tasks_and_plans_show_what_they_are_in_a_line(task):
    task_pairs = pairs_from_rows((f"{n}", f"{n}", language, "q", "p", "s") for n in range(8) for language in ("de", "en"))
    assert repr(task) == "<RetrievalTask made-up: 16 questions, 16 candidates, languages de, en>"
    plan = hy.plan_batches(task_pairs, "hybrid", steps=20, batch_size=4, seed=1)
    mono = int((plan.kinds == 0).sum())
    assert repr(plan) == f"<BatchPlan hybrid, seed 1: 20 batches of 4 pairs ({mono} mono, {20 - mono} cross)>"


def test_a_misspelt_folder_is_told_as_a_folder():
    with pytest.raises(UnknownName, match=r"unknown folder or task 'my-pol'.*Known: worldfacts-test"):
        hy.read_task("my-pol")


def test_every_name_of_the_face_is_the_librarys_and_documented():
    typed = next(node for node in ast.parse(Path(hy.__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.If)).body[0]
    assert [alias.name for alias in typed.names] == hy.__all__
    for name in hy.__all__:
        assert getattr(hy, name) is getattr(library, name) and len(getattr(hy, name).__doc__.split()) > 8, name
        assert name in hy.__doc__ or name == "Evaluation"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hy.nothing  # noqa: B018


@pytest.mark.parametrize(
    "cell",
    [
        "import hybridir_utils as hy\nhy.rank_task(model, task)",
        "import hybridir_utils\nhybridir_utils.rank_task(model, task)",
        "from hybridir_utils import rank_task\nrank_task(model, task)",
    ],
)
def test_code_behind_the_face_is_followed(cell):
    tree = ast.parse(cell)
    places = used_places([tree], package_imports(tree))
    assert places == {("library", "rank_task")}
    used = {f"{path.stem}.{name}" for path, names in used_code(places).items() for name in names}
    assert {"ranking.rank_task", "ranking._top", "encoding.encode_task"} <= used and "training.train_encoder" not in used


def test_an_evaluation_holds_the_measures_of_one_ranking_plain_and_centred(task):
    given = vectors(task, 0.3)
    unit = tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in given)
    ranks, found = hy.rank_task(given, task), hy.evaluate(given, task)
    centring = fit_centring(unit[1], task.candidates["language"])
    sides = [centring.apply(side, frame["language"]) for side, frame in zip(unit, (task.queries, task.candidates), strict=True)]
    for each, vectors_ in ((found, unit), (found.centred, sides)):
        expected = ranking.rank_task(ranking.dot_scores(*vectors_), task)
        pd.testing.assert_frame_equal(each.questions, metrics.per_query(expected, task))
        pd.testing.assert_frame_equal(each.bias, bias.bias_scores(expected, task))
    pd.testing.assert_frame_equal(found.scores, hy.scores(ranks, task))
    table = found.table()
    assert list(table.index) == ["plain", "centred"] and found.notes == ()
    for row, each in found.kinds.items():
        macro = each.scores[each.scores["query_language"] == "macro"].set_index(["setting", "metric"])["value"]
        of_bias = each.bias[each.bias["query_language"] == "macro"].set_index("measure")["value"]
        assert table.loc[row, "Cr. mAP"] == macro["cross-lingual", "mAP"] and table.loc[row, "Mul. R@10"] == macro["multilingual", "R@10"]
        assert [*table.loc[row, ["rank distance", "LPR"]]] == [of_bias["rank distance"], of_bias["LPR"]]
        assert f"{of_bias['rank distance']:,.0f}" in found._repr_html_() and f"{macro['multilingual', 'mAP']:.3f}" in repr(found)
    assert "nan" not in repr(found).lower()


def test_what_a_task_cannot_give_is_named_and_the_rest_shown(task):
    german = task.queries[task.queries["language"] == "de"]
    own = task.relevance[task.relevance.isin(set(german["id"])).all(axis=1)]
    found = hy.evaluate(tuple(side[:8] for side in vectors(task, 0.3)), RetrievalTask("alone", german, german, own))
    assert list(found.table().index) == ["plain"] and list(found.table().columns) == [
        "Mo. mAP",
        "Mul. mAP",
        "Mul. R@1",
        "Mul. R@10",
        "same-language share@10",
    ]
    for note in ("Cr.: no question has", "rank distance: no question has two", "LPR: no question", "centred: the candidates are in one"):
        assert any(each.startswith(note) for each in found.notes) and note in repr(found) and note in found._repr_html_(), note
    foreign = task.queries.assign(language="fr", id="fr" + task.queries["id"])
    asked = RetrievalTask("asked in French", foreign, task.candidates, task.relevance.assign(query="fr" + task.relevance["query"]))
    note = next(each for each in hy.evaluate(vectors(task, 0.3), asked).notes if each.startswith("centred"))
    assert "no vector of language 'fr'" in note


def test_bm25_and_a_random_order_are_evaluated_by_name(task):
    found = hy.evaluate("BM25", task)
    assert found.centred is None and found.table().loc["plain", "Mo. mAP"] > hy.evaluate("random", task).table().loc["plain", "Mo. mAP"]


def test_tasks_come_from_folders_and_names(task, tmp_path):
    write_beir(task, tmp_path / "pool")
    assert hy.read_task(tmp_path / "pool").relevance.shape == task.relevance.shape
    (tmp_path / "squad").mkdir()
    (tmp_path / "squad" / "en.json").write_text(
        '{"data": [{"title": "t", "paragraphs": [{"context": "Vienna is old. Graz is green.", "qas": '
        '[{"id": "1", "question": "What is old?", "answers": [{"text": "Vienna", "answer_start": 0}]}]}]}]}'
    )
    assert len(hy.read_task(str(tmp_path / "squad")).candidates) == 2
    assert len(hy.read_task("worldfacts-test").languages) == 11
    assert hy.read_task("worldfacts-test", ["de", "en"]).languages == ("de", "en")
    with pytest.raises(UnknownName, match=r"worldfacts-tset.*worldfacts-test"):
        hy.read_task("worldfacts-tset")
    with pytest.raises(InputError, match="leave `languages` out"):
        hy.read_task(tmp_path / "pool", ["de"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no <language>\.json"):
        hy.read_task(tmp_path / "empty")


def test_what_cannot_be_ranked_is_refused(task):
    queries, candidates = vectors(task, 0.3)
    with pytest.raises(InputError, match=r"16 queries and 16 candidates, but vectors for \[16, 15\]"):
        hy.rank_task((queries, candidates[1:]), task)
    with pytest.raises(InputError, match=r"expected an encoder .* found int"):
        hy.rank_task(7, task)
    with pytest.raises(InputError, match=r"\[texts, width\], found shape \[16\]"):
        hy.rank_task((queries[:, 0], candidates), task)
    with pytest.raises(InputError, match="row"):
        hy.evaluate((np.where(queries == queries.max(), np.nan, queries), candidates), task)
    search = Search("en", "en", "c", task.queries[task.queries["language"] == "en"], answers={"en0": ["x"]})
    with pytest.raises(InputError, match="searched to a depth"):
        hy.evaluate((queries, candidates), SearchTask("large", ("Recall@20",), (search,), open_corpus=lambda name: None))


def test_comparison_tests_encoders_over_the_same_questions(task):
    good, bad = (([hy.evaluate(vectors(task, noise, seed), task) for seed in (1, 2)]) for noise in (0.05, 1.5))
    table = hy.compare({"good": good, "bad": bad}, baseline="bad").set_index("setting")
    means = [np.mean([each.table().loc["plain", "Mul. mAP"] for each in found]) for found in (good, bad)]
    assert list(table.index) == ["monolingual", "cross-lingual", "multilingual"] and set(table["strategy"]) == {"good"}
    assert table["mean_difference"]["multilingual"] == pytest.approx(means[0] - means[1])
    assert (table["p_holm"] < 0.05).all() and (table["n_seeds"] == 2).all()
    assert (hy.compare({"a": good[0], "b": good[0]}, "a")["mean_difference"] == 0).all()
    with pytest.raises(UnknownName, match=r"metric.*R@1"):
        hy.compare({"a": good[0], "b": bad[0]}, "a", "R@11")
    with pytest.raises(InputError, match="different tasks"):
        hy.compare({"a": good[0], "b": hy.Evaluation("other", bad[0].questions, bad[0].scores, bad[0].bias)}, "a")


def test_an_unknown_training_setting_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r"learning_rat.*learning_rate"):
        hy.train_encoder("nowhere", None, None, learning_rat=1)
