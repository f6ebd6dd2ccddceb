"""Rows of memory-mapped tables: what is read chunk by chunk equals what a plain Python list gives, and texts stay on disk."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from hybridir_utils.base import mapped
from hybridir_utils.base.errors import InputError
from hybridir_utils.base.mapped import codes, counts, holds, keep_rows, stored

TEXTS = [f"t{number * number % 37}" for number in range(230)]


@pytest.fixture(params=[3, 1000])
def chunk(request, monkeypatch):
    monkeypatch.setattr(mapped, "CHUNK", request.param)


@pytest.fixture
def table(tmp_path):
    """230 rows on disk, every seventh dropped by a choice."""
    columns = {"a": TEXTS, "b": [text[-1] for text in TEXTS]}
    whole = stored(
        [pa.table({name: texts[start : start + 50] for name, texts in columns.items()}) for start in range(0, 230, 50)],
        tmp_path / "x.arrow",
    )
    return whole.select([row for row in range(230) if row % 7])


def test_numbers_come_in_order_of_first_appearance(chunk, table):
    numbers, names = codes(table, "a")
    assert numbers.dtype == np.int32
    assert [names[number].as_py() for number in numbers] == list(table["a"])
    assert names.to_pylist() == list(dict.fromkeys(table["a"]))
    assert codes(table.select([]), "a")[0].shape == (0,)


@pytest.mark.parametrize("rows", [range(230), [*range(0, 100, 2), *range(120, 200, 3)], [5, 4, 4, 200, 0, 229], [7]])
def test_chunks_are_the_chosen_rows_in_order(chunk, tmp_path, rows):
    """Whole, dense, backward and far choices, and a choice of a choice."""
    parts = [pa.table({"n": [str(n) for n in range(start, start + 10)], "other": ["x"] * 10}) for start in range(0, 230, 10)]
    chosen = stored(parts, tmp_path / "x.arrow").select(rows)
    for part, expected in ((chosen, list(rows)), (chosen.select(range(0, len(rows), 2)), list(rows)[::2])):
        tables = list(mapped.chunks(part, ["n"]))
        assert [int(text.as_py()) for table in tables for text in table["n"]] == expected
        assert max(map(len, tables)) <= mapped.CHUNK and tables[0].column_names == ["n"]
        mapped.write_parquet(part, tmp_path / "x.parquet")
        assert pq.read_table(tmp_path / "x.parquet").to_pydict() == part[:]


def test_counts_and_held_rows(chunk, table):
    texts = list(table["a"])
    assert counts(table, "a") == {text: texts.count(text) for text in sorted(set(texts))}
    keys = pd.DataFrame([("t1", "1"), ("t16", "6"), ("t16", "1"), ("t99", "1")], columns=["a", "b"])
    expected = [row in {("t1", "1"), ("t16", "6")} for row in zip(table["a"], table["b"], strict=True)]
    assert 0 < sum(expected) < len(table)
    assert holds(table, keys).tolist() == expected
    assert not holds(table, keys.iloc[:0]).any()
    assert not holds(table, pd.DataFrame([(text, "x") for text in texts], columns=["a", "b"])).any()
    assert keep_rows(table, holds(table, keys))[:] == table.select(np.flatnonzero(expected))[:]


def test_a_stored_table_is_whole_or_not_there(tmp_path):
    def broken():
        yield pa.table({"a": ["x"]})
        raise InputError("the second half is bad")

    with pytest.raises(InputError, match="second half"):
        stored(broken(), tmp_path / "x.arrow")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        stored([pa.table({"a": ["x"]})], tmp_path / "file" / "x.arrow")


def test_in_memory_and_on_disk_are_the_same_rows(tmp_path):
    tables = [pa.table({"a": ["x", "y"]}), pa.table({"a": ["z"]})]
    assert stored(tables)[:] == stored(tables, tmp_path / "x.arrow")[:] == {"a": ["x", "y", "z"]}
    assert isinstance(stored(tables), Dataset)


ANONYMOUS = """
import sys
from pathlib import Path
import pyarrow as pa
from hybridir_utils.data.pairs import check_pairs
from hybridir_utils.data.batching import ParallelIndex, plan_batches
from hybridir_utils.base.mapped import stored
anonymous = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) // 1024

def tables():
    for start in range(0, 150_000, 5000):
        rows = range(start, start + 5000)
        ids, same = [str(row // 2) for row in rows], {"passage": ["a passage of no interest " * 120] * 5000, "source": ["s"] * 5000}
        yield pa.table({"id": ids, "passage_id": ids, "language": ["de", "en"] * 2500, "question": ids, **same})

pa.set_memory_pool(pa.system_memory_pool())
pairs, before = stored(tables(), Path(sys.argv[1])), anonymous()
check_pairs(pairs)
plan_batches(ParallelIndex(pairs), "hybrid", steps=100, batch_size=50, seed=0)
print(Path(sys.argv[1]).stat().st_size // 2**20, anonymous() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_checking_and_planning_leave_the_texts_on_disk(tmp_path):
    """450 MB of passages; a tenth of them in memory would show."""
    done = subprocess.run([sys.executable, "-c", ANONYMOUS, str(tmp_path / "pairs.arrow")], capture_output=True, text=True, check=True)
    on_disk, grown = map(int, done.stdout.split())
    assert on_disk > 400 and grown < 60
