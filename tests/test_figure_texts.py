"""What figures say in words: a text for each, computed from the tables it is drawn from."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from hybridir_utils.base.files import ROOT
from hybridir_utils.results import findings, reading
from hybridir_utils.results.figures import FIGURES, read_saved
from hybridir_utils.studies import mixing, questions

SAMPLE = ROOT / "data" / "results" / "sample"


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_sentences_with_numbers_from_the_committed_tables(name):
    told = FIGURES[name].sentences(*(read_saved(SAMPLE / f"{table}.csv", "") for table in FIGURES[name].told_from))
    assert told and all(sentence.endswith(".") for sentence in told) and re.search(r"\d", " ".join(told)), told
    assert "nan" not in " ".join(told)


def frame(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_lengths_name_the_shortest_and_the_longest_language():
    table = frame("language part q50", ("zh", "question", 20), ("de", "question", 60), ("zh", "passage", 30), ("de", "passage", 90))
    told = "questions 20 (zh) to 60 (de); passages 30 (zh) to 90 (de)."
    assert reading.on_lengths(table) == [f"Median length in characters, shortest to longest language: {told}"]


def test_query_languages_are_hybrids_without_macro_rows():
    rows = [("b", "hybrid", "t", "monolingual", "mAP", language, value) for language, value in (("de", 0.5), ("en", 0.7), ("macro", 0.99))]
    rows += [("b", "X-Y", "t", "monolingual", "mAP", "de", 0.1), ("reference", "BM25", "t", "monolingual", "mAP", "de", 0.0)]
    (told,) = findings.on_query_languages(frame("base strategy task setting metric query_language value", *rows))
    assert told == "hybrid, from b, lowest to highest mAP by question language: Mo. 0.500 (de) to 0.700 (en)."


def test_heat_parts_the_diagonal_from_the_rest():
    pairs = [("b", "X-Y", *place) for place in (("de", "de", 0.8), ("en", "en", 0.6), ("de", "en", 0.2), ("en", "de", 0.4))]
    (told,) = findings.on_heat(frame("base strategy query_language candidate_language value", *pairs))
    assert told.endswith("X-Y 0.700 / 0.300.")


def test_language_share_stands_beside_the_pool():
    measures = (("same-language share@10", 0.25), ("same-language pool share", 0.125))
    rows = [("b", "hybrid", "t", measure, "macro", value) for measure, value in measures]
    (told,) = findings.on_language_share(frame("base strategy task measure query_language value", *rows))
    assert told.endswith("hybrid 25%; in the pool 12%.")


def test_vectors_are_told_measure_by_measure():
    values = {"translation_accuracy": 0.5, "language_identity": 0.7}
    rows = [("b", "hybrid", seed, measure, value + 0.1 * seed) for measure, value in values.items() for seed in (0, 1)]
    translations, probe = findings.on_vectors(frame("base strategy seed measure value", *rows))
    assert translations == "From b, translation retrieval accuracy: hybrid 0.550."
    assert probe == "From b, accuracy of the language probe: hybrid 0.750."


def test_map_counts_neighbours_of_the_own_language():
    places = [("b", "hybrid", "de", 0, 0), ("b", "hybrid", "de", 0, 1), ("b", "hybrid", "en", 9, 9), ("b", "hybrid", "de", 9, 8.5)]
    (told,) = findings.on_map(frame("base strategy language x y", *places))
    assert "hybrid 50%" in told and told.endswith("by chance about 50%.")


def test_front_leaves_out_the_mix_that_another_beats():
    points = {0.0: (0.5, 0.9), 0.5: (0.7, 0.7), 0.6: (0.6, 0.6), 1.0: (0.9, 0.5)}
    settings = ("monolingual", "cross-lingual")
    rows = [("hybrid", a, "t", s, "mAP", v) for a, values in points.items() for s, v in zip(settings, values, strict=True)]
    (told,) = mixing.on_pareto(frame("strategy alpha task setting metric value", *rows))
    assert "α = 0 (0.500, 0.900), α = 0.5 (0.700, 0.700), α = 1 (0.900, 0.500)" in told and "0.6" not in told


def test_pairs_give_the_mean_and_the_extremes():
    rows = [("b", strategy, *pair, value) for strategy, values in (("hybrid", (0.5, 0.9)), ("X-Y", (0.6, 0.7)))
            for pair, value in zip((("de", "en"), ("en", "de")), values, strict=True)]  # fmt: skip
    (told,) = questions.on_pairs(frame("base strategy query_language candidate_language value", *rows))
    assert told.endswith("X-Y +0.050 on average, -0.100 (de → en) to +0.200 (en → de).")
    assert questions.on_pairs(frame("base strategy query_language candidate_language value", ("b", "X-Y", "de", "en", 1.0)))[0].endswith(
        "compare."
    )
