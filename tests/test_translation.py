"""Translation: what is done is never done again, also after a kill; a cache that cannot serve says why."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from datasets import Dataset, Value

from hybridir_utils.base.errors import Busy, InputError
from hybridir_utils.data import translation
from hybridir_utils.data.translation import CachedTranslator, translate_pairs


class Counting:
    """Upper-cases, and remembers every text it was asked for."""

    name = "counting"

    def __init__(self):
        self.asked: list[str] = []

    def translate(self, texts, source, target):
        self.asked += texts
        return [f"{target}:{text.upper()}" for text in texts]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_dict({
        "id": ["a", "b"],
        "passage_id": ["p", "q"],
        "language": ["en", "en"],
        "question": ["What is A?", "What is B?"],
        "passage": ["A is one.", "B is two."],
        "source": ["toy", "toy"],
    })  # fmt: skip


def test_cached_translator_keeps_order_and_asks_once_for_equal_texts(tmp_path):
    inner = Counting()
    cached = CachedTranslator(inner, tmp_path / "cache.sqlite")
    assert cached.translate(["b", "a", "b"], "en", "de") == ["de:B", "de:A", "de:B"]
    assert inner.asked == ["b", "a"]


def test_a_second_run_translates_only_what_is_missing(tmp_path):
    path = tmp_path / "cache.sqlite"
    CachedTranslator(Counting(), path).translate(["a", "b"], "en", "de")
    again = Counting()
    assert CachedTranslator(again, path).translate(["c", "a"], "en", "de") == ["de:C", "de:A"]
    assert again.asked == ["c"]


def test_target_source_and_translator_have_translations_of_their_own(tmp_path):
    inner = Counting()
    cached = CachedTranslator(inner, tmp_path / "cache.sqlite")
    for source, target in [("en", "de"), ("en", "fr"), ("nl", "de")]:
        assert cached.translate(["a"], source, target) == [f"{target}:A"]
    other = Counting()
    other.name = "other"
    CachedTranslator(other, tmp_path / "cache.sqlite").translate(["a"], "en", "de")
    assert len(inner.asked) == 3 and other.asked == ["a"]


def test_a_failing_translator_keeps_the_batches_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "BATCH", 2)

    class Failing(Counting):
        def translate(self, texts, source, target):
            if "e" in texts:
                raise RuntimeError("out of memory")
            return super().translate(texts, source, target)

    path = tmp_path / "cache.sqlite"
    with pytest.raises(RuntimeError, match="out of memory"):
        CachedTranslator(Failing(), path).translate(list("abcdef"), "en", "de")
    again = Counting()
    CachedTranslator(again, path).translate(list("abcdef"), "en", "de")
    assert again.asked == ["e", "f"]


def test_texts_of_like_length_are_translated_together_the_longest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "BATCH", 2)
    inner = Counting()
    assert CachedTranslator(inner, tmp_path / "cache.sqlite").translate(["a", "ccc", "bb", "dddd"], "en", "de")[2] == "de:BB"
    assert inner.asked == ["dddd", "ccc", "bb", "a"]


def test_a_batch_has_a_limit_of_characters_too(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "BATCH_CHARS", 10)
    asked = []

    class Batches(Counting):
        def translate(self, texts, source, target):
            asked.append(texts)
            return super().translate(texts, source, target)

    CachedTranslator(Batches(), tmp_path / "cache.sqlite").translate(["aaaa", "bbbb", "cc", "dd", "e"], "en", "de")
    assert asked == [["aaaa", "bbbb"], ["cc", "dd", "e"]]


def test_thousands_of_texts_are_looked_up_by_few_queries(tmp_path, monkeypatch):
    path = tmp_path / "cache.sqlite"
    texts = [f"text {i}" for i in range(3_000)]
    CachedTranslator(Counting(), path).translate(texts, "en", "de")
    queries, connect = [], sqlite3.connect

    def traced(path, timeout):
        connection = connect(path, timeout=timeout)
        connection.set_trace_callback(lambda query: queries.append(query) if "FROM translations" in query else None)
        return connection

    monkeypatch.setattr(translation.sqlite3, "connect", traced)
    again = Counting()
    assert CachedTranslator(again, path).translate(texts, "en", "de") == [f"de:{text.upper()}" for text in texts]
    assert again.asked == [] and 0 < len(queries) <= 10


def test_a_full_disk_is_told_and_what_is_done_is_kept(tmp_path, monkeypatch):
    """The database may grow to a few pages, which SQLite takes for the end of the disk."""
    path, connect = tmp_path / "cache.sqlite", sqlite3.connect
    monkeypatch.setattr(translation, "BATCH", 10)

    def small(path, timeout):
        connection = connect(path, timeout=timeout)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    texts = [f"text {i:04d} " * 20 for i in range(400)]
    monkeypatch.setattr(translation.sqlite3, "connect", small)
    with pytest.raises(InputError, match=r"cache\.sqlite: cannot be written \(database or disk is full\).*free space"):
        CachedTranslator(Counting(), path).translate(texts, "en", "de")
    monkeypatch.undo()
    again = Counting()
    assert len(CachedTranslator(again, path).translate(texts, "en", "de")) == 400
    assert 0 < len(again.asked) < 400 and len(again.asked) % 10 == 0


SLOW_RUN = """
    import sys, time
    from pathlib import Path
    from hybridir_utils.data import translation

    translation.BATCH = 5
    cache, log = Path(sys.argv[1]), Path(sys.argv[2])

    class Slow:
        name = "slow"
        def translate(self, texts, source, target):
            with log.open("a") as out:
                out.writelines(f"{text}\\n" for text in texts)
            time.sleep(0.02)
            return [text.upper() for text in texts]

    translated = translation.CachedTranslator(Slow(), cache).translate([f"text {i}" for i in range(100)], "en", "de")
    assert translated == [f"TEXT {i}" for i in range(100)]
"""


def test_a_killed_run_is_continued_and_repeats_one_batch_at_most(tmp_path):
    log, script = tmp_path / "log", tmp_path / "run.py"
    script.write_text(textwrap.dedent(SLOW_RUN))
    command = [sys.executable, str(script), str(tmp_path / "cache.sqlite"), str(log)]
    kills = 0
    for wanted in (20, 55):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (len(log.read_text().splitlines()) if log.exists() else 0) < wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2, "both runs were killed half-way"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    asked = log.read_text().splitlines()
    assert set(asked) == {f"text {i}" for i in range(100)}
    assert len(asked) <= 100 + 5 * kills


def test_a_translator_that_loses_texts_is_refused(tmp_path):
    class Losing(Counting):
        def translate(self, texts, source, target):
            return texts[1:]

    with pytest.raises(InputError, match=r"counting: 2 texts given, 1 returned \(en -> de\)"):
        CachedTranslator(Losing(), tmp_path / "cache.sqlite").translate(["a", "b"], "en", "de")


@pytest.mark.parametrize("content", [b"not a database, but long enough to be read as one " * 50, None], ids=["text", "overwritten"])
def test_a_corrupted_cache_is_named_and_what_to_do_is_said(tmp_path, content):
    path = tmp_path / "cache.sqlite"
    texts = [f"text {i} " * 20 for i in range(2_000)]
    if content is None:
        CachedTranslator(Counting(), path).translate(texts, "en", "de")
        content = bytearray(path.read_bytes())
        content[4096 : len(content)] = b"\x5a" * (len(content) - 4096)  # keeps the header, breaks every table page
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cache\.sqlite: is not a usable translation cache .* Move the file away"):
        CachedTranslator(Counting(), path).translate(texts, "en", "de")


@contextlib.contextmanager
def without_privileges():
    """Root may write everywhere: act as the user nobody meanwhile."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files as POSIX has them")
@pytest.mark.parametrize("exists", [True, False])
def test_a_cache_that_may_not_be_written_is_named(exists):
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "cache.sqlite"
        if exists:
            CachedTranslator(Counting(), path).translate(["a"], "en", "de")
            path.chmod(0o444)
        folder.chmod(0o555)
        try:
            with without_privileges(), pytest.raises(InputError, match=r"cache\.sqlite: cannot be written .*permissions"):
                CachedTranslator(Counting(), path).translate(["b"], "en", "de")
        finally:
            folder.chmod(0o755)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere/cache\.sqlite: cannot be written"):
        CachedTranslator(Counting(), tmp_path / "nowhere" / "cache.sqlite").translate(["a"], "en", "de")


def test_a_cache_locked_by_another_process_is_busy(tmp_path, monkeypatch):
    path = tmp_path / "cache.sqlite"
    CachedTranslator(Counting(), path).translate(["a"], "en", "de")
    connect = sqlite3.connect
    monkeypatch.setattr(translation.sqlite3, "connect", lambda path, timeout: connect(path, timeout=0.05))
    with contextlib.closing(connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match=r"cache\.sqlite: another process"):
            CachedTranslator(Counting(), path).translate(["b"], "en", "de")


def test_pairs_are_parallel_with_the_same_ids(pairs):
    pairs = pairs.cast_column("question", Value("large_string"))
    parallel = translate_pairs(pairs, Counting(), ["de", "th"])
    assert parallel.features == pairs.features
    assert parallel["language"][:] == ["en", "en", "de", "de", "th", "th"]
    for column in ("id", "passage_id", "source"):
        assert parallel[column][:] == pairs[column][:] * 3
    assert parallel["question"][:2] == pairs["question"][:]
    assert parallel["question"][2:4] == ["de:WHAT IS A?", "de:WHAT IS B?"]
    assert parallel["passage"][4:] == ["th:A IS ONE.", "th:B IS TWO."]


@pytest.mark.parametrize("on_disk", [False, True])
def test_pairs_are_translated_chunk_by_chunk(pairs, tmp_path, monkeypatch, on_disk):
    """A chunk at a time is in memory; the rows on disk are read through a memory map."""
    many = Dataset.from_dict({c: [f"{c} {i}" for i in range(25)] for c in pairs.column_names} | {"language": ["en"] * 25})
    monkeypatch.setattr(translation, "CHUNK", 10)
    inner, calls = Counting(), []
    translate = inner.translate
    inner.translate = lambda texts, *languages: calls.append(len(texts)) or translate(texts, *languages)
    parallel = translate_pairs(many, inner, ["de", "th"], tmp_path / "out" if on_disk else None)
    assert calls == [20, 20, 10] * 2, "questions and passages of ten pairs"
    assert parallel["passage"][25:50] == [f"de:PASSAGE {i}" for i in range(25)] and parallel["id"][:] == many["id"][:] * 3
    assert parallel.features == many.features
    assert sorted(Path(file["filename"]).name for file in parallel.cache_files) == (["de.arrow", "th.arrow"] if on_disk else [])


def test_progress_counts_the_characters_of_every_language_and_names_the_pair(pairs, tmp_path, monkeypatch):
    """The outer bar over all languages and both fields; an inner one a language, over what is not in the cache."""
    bars = []

    class Bar:
        def __init__(self, total, desc, unit, **_):
            bars.append(self)
            self.total, self.desc, self.unit, self.done = total, desc, unit, 0

        def update(self, n):
            self.done += n

        __enter__, __exit__ = lambda self: self, lambda self, *_: None

    monkeypatch.setattr(translation, "new_bar", Bar)
    cached = CachedTranslator(Counting(), tmp_path / "cache.sqlite")
    translate_pairs(pairs, cached, ["de", "fr"])
    characters = sum(len(text) for column in ("question", "passage") for text in pairs[column])
    distinct = sum(map(len, {*pairs["question"], *pairs["passage"]}))
    told = [(bar.desc, bar.unit, bar.total, bar.done) for bar in bars]
    assert told == [("en -> 2 languages", "character", 2 * characters, 2 * characters)] + [
        (f"en -> {target}", "character", distinct, distinct) for target in ("de", "fr")
    ]


def test_hard_negatives_are_translated_too_and_none_stays_none(pairs):
    inner = Counting()
    parallel = translate_pairs(pairs.add_column("negative", ["C is three.", ""]), inner, ["de"])
    assert parallel["negative"][:] == ["C is three.", "", "de:C IS THREE.", ""]
    assert "" not in inner.asked
