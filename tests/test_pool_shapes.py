"""Pools of any shape: what a pool does not have is left out with a sentence, and all else is shown.

The matrix: every figure of notebooks 03 to 09 and the sentences beside them, on the tables that pools of other shapes leave; a pool of one
language has no cross-lingual setting, one whose questions are in a language it lacks no monolingual one, one without parallel texts no
alignment, map or rank distance; a run without hybrid batches nothing to test the others against.
"""

from __future__ import annotations

import pandas as pd
import pytest
from made_up import made_up_tables

from hybridir_utils.rank.significance import TESTED
from hybridir_utils.results.figures import FIGURES
from hybridir_utils.results.findings import against_paper, on_bias, on_scores
from hybridir_utils.results.tables import TEST_KEYS, markdown, score_table

LACKING = ("cross-lingual", "monolingual", "parallel texts", "hybrid")
NOT_PARALLEL = ("map", "alignment", "distances", "bias_tests", "shift_alignment")
NOT_PARALLEL += ("question_recall", "question_alignment", "question_pairs", "question_tests")
SHOWN = [name for name in FIGURES if name[:2] in ("03", "04", "05", "06", "07", "08")]


def without(table: pd.DataFrame, name: str, lacking: str) -> pd.DataFrame:
    """What is left of a saved table where the run's pools lack something."""
    if lacking == "parallel texts" and name in NOT_PARALLEL:
        return table.iloc[:0]
    if lacking == "parallel texts" and "measure" in table:
        return table[~table["measure"].astype(str).str.contains("rank distance|same-language share@10")]
    if lacking == "hybrid":  # nothing is tested against it, and what is kept is set against another strategy's
        table = table[table["baseline"] != lacking] if "effect_size" in table else table
        return table[table["strategy"] != lacking] if "strategy" in table else table
    return table[table["setting"] != lacking] if "setting" in table else table


@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("figure", SHOWN)
def test_a_figure_is_drawn_of_what_there_is(figure, lacking):
    recipe = FIGURES[figure]
    tables = {name: without(table, name, lacking) for name, table in made_up_tables().items()}
    if tables[recipe.tables[0]].empty:
        return  # left out, as `test_figures.test_a_figure_without_rows_is_a_sentence_in_the_text` has it
    assert recipe.draw(*(tables[name] for name in recipe.tables)).axes
    if set(recipe.told_from) <= set(tables):  # the made-up tables lack some
        said = recipe.sentences(*(tables[name] for name in recipe.told_from))
        assert said and not [sentence for sentence in said if "nan" in sentence]


def test_a_fault_of_a_plot_is_not_taken_for_a_pool_that_lacks_something():
    with pytest.raises((LookupError, AttributeError)):
        FIGURES["03_scores"].draw(made_up_tables()["scores"].drop(columns="strategy"))


@pytest.mark.parametrize("lacking", LACKING[:3])
def test_sentences_are_said_of_what_there_is(lacking):
    tables = {name: without(table, name, lacking) for name, table in made_up_tables().items() if name in ("scores", "bias")}
    tests = pd.DataFrame(columns=[*TEST_KEYS, *TESTED])  # none, as `test_table` gives them
    said = " ".join(on_scores(tables["scores"], tests) + against_paper(tables["scores"]))
    assert ("Cr. " in said.split(": the paper's")[0]) == (lacking != "cross-lingual")
    if lacking == "parallel texts":
        assert all("no rank distance or same-language share" in sentence for sentence in on_bias(tables["bias"], tests))


def test_what_a_task_lacks_is_a_dash_beside_one_that_has_it_and_no_column_alone():
    scores, (task, *_) = made_up_tables()["scores"], dict.fromkeys(made_up_tables()["scores"]["task"])
    lacking = scores[(scores["task"] != task) | (scores["setting"] != "cross-lingual")]
    text = markdown(score_table(lacking))
    assert "nan" not in text.lower() and "| – |" in text and "Cr. mAP" in text
    assert "Cr. mAP" not in score_table(lacking[lacking["task"] == task])
