"""What readers see of texts: any text is shown as it is, in its own direction, and can do nothing to the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.experiment.encoders import EncoderKey
from hybridir_utils.experiment.evaluation import NO_MIX, Evaluations
from hybridir_utils.results import browsing, reading
from hybridir_utils.results.browsing import SHOWN_CHARACTERS, most_different, ranked_lists, side_by_side
from hybridir_utils.tasks.retrieval_task import RetrievalTask

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)></bdi></td>"
BIDI = "left \u202eright\u2066 \u200f end"
TEXTS = ["water", "ماء", HOSTILE, BIDI, "x" * 1_000_000, "stone"]
LANGUAGES = ["en", "ar", "en", "ar", "en", "ar"]


@pytest.fixture(scope="module")
def task() -> RetrievalTask:
    """Six questions and six candidates in English and Arabic; question i is answered by candidate i of the same text."""
    frame = pd.DataFrame(
        {"id": [f"i{n}" for n in range(6)], "group": [f"g{n // 2}" for n in range(6)], "language": LANGUAGES, "text": TEXTS}
    )
    relevance = pd.DataFrame({"query": frame["id"], "candidate": frame["id"]})
    return RetrievalTask("hostile", frame, frame, relevance)


@pytest.fixture(scope="module")
def lists(task) -> dict[str, np.ndarray]:
    order = np.tile(np.arange(6), (6, 1))
    return {"X-Y": order, "hybrid": order[:, ::-1]}


class Tags(HTMLParser):
    """Names and attributes of the tags of a page, and the texts between them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.texts, self.cells, self.open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        self.texts.append(data)


def rows(task: RetrievalTask, text: str) -> int:
    return int(np.flatnonzero(task.queries["text"] == text)[0])


ALLOWED = {"p", "b", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "style"}


@pytest.mark.parametrize("text", TEXTS[:4], ids=["english", "arabic", "hostile", "bidi"])
def test_every_text_is_shown_as_it_is_and_nothing_of_it_is_a_tag(task, lists, text):
    page = Tags(side_by_side(task, lists, rows(task, text)))
    assert page.open == [] and {name for name, _ in page.tags} <= ALLOWED
    assert page.texts.count(text) == 3, "once as the question, once in each strategy's list"


def test_each_text_stands_in_a_block_of_its_own_direction(task, lists):
    page = Tags(side_by_side(task, lists, 0))
    blocks = [attributes for name, attributes in page.tags if name == "div"]
    assert len(blocks) == 1 + 2 * 6 and all(attributes == {"dir": "auto"} for attributes in blocks)


def test_a_text_of_a_million_characters_is_cut(task, lists):
    page = side_by_side(task, lists, rows(task, "x" * 1_000_000))
    assert len(page) < 20_000 and "x" * SHOWN_CHARACTERS + "…" in page and "x" * (SHOWN_CHARACTERS + 1) not in page


def test_relevant_candidates_are_marked_and_others_are_not(task, lists):
    query = rows(task, "water")
    page = side_by_side(task, lists, query)
    marked = [cell for cell in page.split("<td")[1:] if "✓ relevant" in cell]
    green = re.findall(r"#(\w+)", re.search(r"([^}]*){\s*background", page)[1])
    assert len(marked) == len(green) == 2 and all("water" in cell for cell in marked)
    assert all(any(f'id="{name}"' in cell for cell in marked) for name in green) and page.count("background") == 1


def test_ranks_and_strategies_head_the_table_in_the_order_given(task, lists):
    page = side_by_side(task, lists, 0)
    assert page.index(">X-Y</th>") < page.index(">hybrid</th>")
    assert [f">{rank}</th>" in page for rank in range(1, 8)] == [True] * 6 + [False]
    first_row = page.split("<tr>")[2]
    shown = [task.candidates["text"].iloc[row] for row in (0, 5)]
    assert first_row.index(shown[0][:50]) < first_row.index(shown[1][:50])


@pytest.fixture
def displayed(monkeypatch) -> list:
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    return shown


def test_lists_are_those_of_one_base_and_seed_and_of_bm25(tmp_path):
    keys = [EncoderKey("aligned", "hybrid", 0.5, 1), EncoderKey("aligned", "X-Y", 0.0, 1), EncoderKey("aligned", "hybrid", 0.5, 2)]
    keys += [EncoderKey("unaligned", "hybrid", 0.5, 1), EncoderKey("reference", "BM25", NO_MIX, 0)]
    keys += [EncoderKey("reference", "random", NO_MIX, 0)]
    folders = {}
    for number, key in enumerate(keys):
        folders[key, "t"] = tmp_path / str(number)
        folders[key, "t"].mkdir()
        np.save(folders[key, "t"] / "top.npy", np.full((2, 10), number, dtype=np.int32))
    found = ranked_lists(Evaluations(folders), "t", "aligned", seed=1)
    assert {strategy: int(top[0, 0]) for strategy, top in found.items()} == {"X-Y": 1, "hybrid": 0, "BM25": 4}
    assert list(found) == ["X-Y", "hybrid", "BM25"]


def test_evaluations_are_gathered_with_their_encoder_and_task_and_can_be_chosen(tmp_path):
    folders = {}
    for number, (seed, task_name) in enumerate([(1, "a"), (2, "a"), (1, "b")]):
        folder = folders[EncoderKey("aligned", "hybrid", 0.5, seed), task_name] = tmp_path / str(number)
        folder.mkdir()
        pd.DataFrame({"metric": ["mAP"], "value": [number / 10]}).to_parquet(folder / "scores.parquet")
    (tmp_path / "2" / "scores.parquet").rename(tmp_path / "2" / "other.parquet")
    evaluations = Evaluations(folders)
    table = evaluations.table("scores")
    assert list(table.columns) == ["base", "strategy", "alpha", "seed", "task", "metric", "value"]
    assert table[["seed", "value"]].to_numpy().tolist() == [[1, 0.0], [2, 0.1]]
    assert evaluations.table("scores", seed=2)["value"].tolist() == [0.1]


def test_the_most_different_questions_are_one_a_language_widest_gap_first():
    gaps = {0: ("en", 0.1), 1: ("en", 0.9), 2: ("ar", 0.5), 3: ("de", 0.2)}
    rows = [(query, language, strategy, ap) for query, (language, gap) in gaps.items() for strategy, ap in (("X-Y", 0.0), ("hybrid", gap))]
    frame = pd.DataFrame(rows, columns=["query", "query_language", "strategy", "AP"])
    frame = frame.assign(task="t", base="b", seed=1, setting="multilingual")
    others = frame.assign(seed=2, AP=frame["query"] * 1.0 * (frame["strategy"] == "X-Y"))
    both = pd.concat([frame, others], ignore_index=True)
    assert most_different(both, "t", "b", 1, count=2) == [1, 2]
    assert most_different(both, "t", "b", 1, count=9) == [1, 2, 3]


def test_pairs_are_shown_in_every_language_escaped(displayed):
    from datasets import Dataset

    rows = [{"id": f"<{n}>", "language": lang, "question": HOSTILE, "passage": BIDI} for n in range(5) for lang in ("ar", "en")]
    browsing.show_pairs(Dataset.from_list([*rows, {"id": "lonely", "language": "en", "question": "q", "passage": "p"}]), count=3)
    assert len(displayed) == 3
    for table in displayed:
        page = Tags(table.data)
        assert page.open == [] and {name for name, _ in page.tags} <= ALLOWED and page.texts.count(HOSTILE) == 2
        assert sum(attributes.get("dir") == "auto" for _, attributes in page.tags) == 4


def test_counts_and_examples_of_what_was_refused():
    frame = pd.DataFrame(
        {"language": ["de", "de", "en"], "check": ["copied", "copied", "script"], "field": "question", "detail": "", "text": "t"}
    )
    assert reading.rejection_counts(frame).to_numpy().tolist() == [["de", "copied", 1], ["en", "script", 1]], "a text counts once"
    assert reading.rejected_examples(frame, per_check=1)["check"].tolist() == ["copied", "script"]


def test_leaks_are_counted_for_every_task_with_zeros(task):
    leaks = pd.DataFrame(
        [("hostile", "question", "exact", "a"), ("hostile", "question", "near", "a"), ("hostile", "question", "near", "b")],
        columns=["task", "field", "kind", "pair"],
    )
    table = reading.leak_counts(leaks, [task])
    assert table.loc[("hostile", "question")].to_dict() == {"exact": 1, "near": 2, "contained": 0, "groups": 2}
    assert table.loc[("hostile", "passage")].sum() == 0


def test_lengths_are_quantiles_of_characters():
    from datasets import Dataset

    pairs = Dataset.from_list([{"language": "en", "question": "q" * n, "passage": "p" * 10 * n} for n in range(1, 6)])
    table = reading.length_quantiles(pairs).set_index("part")
    assert (table.loc["question", "q50"], table.loc["passage", "q50"], table.loc["question", "n"]) == (3, 30, 5)


def test_a_batch_is_shown_with_a_step_of_each_kind(tiny_pairs):
    from hybridir_utils.data.batching import plan_batches

    plan = plan_batches(tiny_pairs, "hybrid", steps=20, batch_size=4, seed=0, alpha=0.5)
    table = reading.show_batch(plan, tiny_pairs, steps=2, slots=3)
    assert table["kind"].tolist() == ["mono"] * 3 + ["cross"] * 3
    mono, cross = table[table["kind"] == "mono"], table[table["kind"] == "cross"]
    assert (mono["question language"] == mono["passage language"]).all() and (cross["question language"] != cross["passage language"]).all()


def test_sizes_and_cards_of_encoders_are_read_from_their_folders(tiny_base, tmp_path):
    assert "8 wide" in reading.encoder_size(tiny_base) and "parameters" in reading.encoder_size(tiny_base)
    other = EncoderKey("aligned", "X-Y", 0.0, 1)
    (tmp_path / "README.md").write_text("---\ntags: [a]\n---\n\n# Card\n\n## Data\ntext\n", encoding="utf-8")
    shown = reading.show_card({other: tmp_path / "none", EncoderKey("aligned", "hybrid", 0.5, 1): tmp_path}, "hybrid").data
    assert shown.startswith(f"<details><summary>The card of {tmp_path.name}</summary>") and shown.endswith("</details>")
    assert "\n### Card\n\n#### Data\ntext\n" in shown


def test_is_interactive_reads_the_servers_variable(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not browsing.is_interactive()
    monkeypatch.setenv("JPY_SESSION_NAME", "x")
    assert browsing.is_interactive()
