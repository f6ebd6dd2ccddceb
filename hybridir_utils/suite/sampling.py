"""How large a public training set is and what its English pairs look like, without fetching it (`base.set_files`)."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..base.errors import InputError, UnknownName, did_you_mean
from ..base.files import PUBLISHED, parse_json
from ..base.hub import hub_errors
from ..base.hub_data import local_folder
from ..base.mapped import codes
from ..data.mt import ModelTranslator
from ..data.public_layouts import pair_features, pair_table, stretcher
from ..data.public_pairs import TRAINING_SETS, TrainingSet, table_pairs
from ..data.translation import TEXT_COLUMNS, CachedTranslator
from ..encode.opening import Opening
from ..tasks.mteb_tasks import PREFIX, mteb_sizes

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLED = 2000  # rows of a set that are turned into pairs


@dataclass(frozen=True)
class SetSample:
    """ids: pairs a language. counted: False where they are reckoned. pairs: the English ones of its first rows, or None. bytes: of
    its files.
    """

    ids: int
    counted: bool
    pairs: Dataset | None
    bytes: int


def sample_set(
    name: str, languages: Sequence[str], data_dir: str = "", max_chars: int = 400, negatives: bool = False, pairs: bool = True
) -> SetSample:
    """Size of a set in some of its languages, and pairs of its first SAMPLED rows where `pairs` asks for some.

    Without them, file sizes are asked for, Parquet's footers, and LINES lines where there is none. With them, rows without a pair are
    taken off in the share in which the sample has them. Raises InputError as `set_files` and `first_rows`.
    """
    entry = TRAINING_SETS[name]
    names = [entry.languages[code] for code in languages]
    parts = {part: _files(name, entry, part, names, data_dir) for part in entry.files}
    size = sum(file.size for files in parts.values() for file in files)
    if entry.layout == "triples":
        rows, counted = count_rows(parts["triples"])
        return SetSample(rows, counted, _triple_pairs(name, entry, data_dir, max_chars, negatives) if pairs else None, size)
    counts = [count_rows(files) for files in parts.values()]
    rows, counted = sum(count for count, _ in counts), all(exact for _, exact in counts)
    if not pairs:
        return SetSample(rows, counted, None, size)
    seen = []

    def load(part: str, columns: Sequence[str]) -> Dataset:
        seen.append(first_rows(parts[part], SAMPLED, columns))
        return seen[-1]

    sample = table_pairs(name, entry, load, max_chars, negatives)
    read = sum(map(len, seen))
    return SetSample(round(rows * len(sample) / max(read, 1)), counted and read == rows, sample, size)


def _files(name: str, entry: TrainingSet, part: str, languages: Sequence[str], data_dir: str) -> list[SetFile]:
    patterns = dict.fromkeys(entry.files[part].format(language=language) for language in languages)
    return set_files(name, entry.hub, list(patterns), entry.revision, data_dir)


def _triple_pairs(name: str, entry: TrainingSet, data_dir: str, max_chars: int, negatives: bool) -> Dataset:
    """The first questions and passages side by side: they do not answer each other, but are as long as pairs are."""
    columns, stretch = ("id", "text"), stretcher(max_chars)
    english = [entry.languages["en"]]
    queries, passages = (
        first_rows(_files(name, entry, part, english, data_dir), SAMPLED, columns, columns)["text"] for part in ("queries", "collection")
    )
    rows = [
        (f"{name}:{i}", f"{name}:{i}", "en", question, stretch(passage, 0), name, stretch(passages[-1 - i], 0), f"{name}:-{i}")
        for i, (question, passage) in enumerate(zip(queries, passages, strict=False))
    ]
    features = pair_features(negatives)
    return Dataset.from_dict(pair_table(rows, features), features=features)


READ = 2**21  # packed bytes of a file of lines, from which its rows are reckoned
BUFFER = 2**20  # bytes of a column fetched at once


@dataclass(frozen=True)
class SetFile:
    """A file of a set: name, the file system it lies in (fsspec), bytes."""

    name: str
    system: Any
    size: int

    @property
    def kind(self) -> str:
        """parquet, json or lines."""
        last = self.name.removesuffix(".gz").rpartition(".")[2]
        return last if last in ("parquet", "json") else "lines"

    @contextmanager
    def opened(self):
        """(stream of the unpacked bytes, function: packed bytes read so far)."""
        try:
            with hub_errors(self.name), self.system.open(self.name, "rb") as raw:
                yield gzip.GzipFile(fileobj=raw) if self.name.endswith(".gz") else raw, raw.tell
        except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, pa.ArrowException) as error:
            raise InputError(f"{self.name}: cut off, or not what its name says ({error}). Delete it and fetch it again.") from error


def set_files(name: str, repo: str, patterns: Sequence[str], revision: str = "", data_dir: str = "") -> list[SetFile]:
    """The files of a set that fit the patterns: in its local folder, the hub, or the cache where the hub does not answer.

    Raises InputError as `hub_errors`, and where no file fits.
    """
    with hub_errors(f"{repo}@{revision}" if revision else repo):
        system, root = _place(name, repo, revision, data_dir)
        found = {path: info for pattern in patterns for path, info in system.glob(f"{root}/{pattern}", detail=True).items()}
    if not found:
        raise InputError(f"{name}: no file {' or '.join(patterns)} in {root}.")
    return [SetFile(path, system, info["size"] or 0) for path, info in sorted(found.items())]


def _place(name: str, repo: str, revision: str, data_dir: str):
    """(file system, root) of a set."""
    from fsspec.implementations.local import LocalFileSystem
    from huggingface_hub import HfFileSystem, constants, snapshot_download

    folder = local_folder(name, data_dir)
    if folder is None and constants.is_offline_mode():
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision or None, local_files_only=True))
    if folder is not None:
        return LocalFileSystem(), str(folder.resolve())
    return HfFileSystem(), f"datasets/{repo}{f'@{revision}' if revision else ''}"


def count_rows(files: Sequence[SetFile]) -> tuple[int, bool]:
    """(rows of all files together, whether they were counted): else reckoned from the first READ bytes of the first file."""
    if files[0].kind == "parquet":
        return sum(_footer_rows(file) for file in files), True
    if files[0].kind == "json":
        rows, read, whole = len(_array(files[0])), files[0].size, True
    else:
        rows, read, whole = _first_lines(files[0])
    if whole and len(files) == 1:
        return rows, True
    return round(sum(file.size for file in files) * rows / max(read, 1)), False


def first_rows(files: Sequence[SetFile], most: int, columns: Sequence[str], header: Sequence[str] = ()) -> Dataset:
    """The first rows of a set, at most so many, in memory; from file after file. header: columns of a table without a header line.

    Raises InputError where a column is not there.
    """
    from datasets import concatenate_datasets

    parts, count = [], 0
    for file in files:
        parts.append(_rows(file, most - count, header))
        count += len(parts[-1])
        missing = [column for column in columns if column not in parts[-1].column_names]
        if missing:
            near = did_you_mean(missing[0], parts[-1].column_names)
            raise InputError(f"{file.name}: its rows have no column {missing[0]!r}{near} Found: {', '.join(parts[-1].column_names)}.")
        if count >= most:
            break
    return concatenate_datasets([part.select_columns(list(columns)) for part in parts])


def _rows(file: SetFile, most: int, header: Sequence[str]) -> Dataset:
    from datasets import Dataset

    if file.kind != "parquet":
        rows = _array(file)[:most] if file.kind == "json" else _parsed_lines(file, most, header)
        try:
            return Dataset.from_list(rows)
        except pa.ArrowException as error:
            raise InputError(f"{file.name}: a column has values of different kinds ({error}).") from error
    with file.opened() as (stream, _):
        table = pq.ParquetFile(stream, buffer_size=BUFFER)  # else whole groups of rows are fetched
        return Dataset(pa.Table.from_batches(islice(table.iter_batches(batch_size=most), 1), schema=table.schema_arrow))


def _footer_rows(file: SetFile) -> int:
    with file.opened() as (stream, _):
        return pq.ParquetFile(stream).metadata.num_rows


def _array(file: SetFile) -> list:
    with file.opened() as (stream, _):
        rows = parse_json(stream.read().decode("utf-8"), file.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file.name}: expected a JSON array of objects.")
    return rows


def _first_lines(file: SetFile) -> tuple[int, int, bool]:
    """(lines, packed bytes they take, whether these are all). Packed bytes are read ahead, so that few of them tell little."""
    lines = 0
    with file.opened() as (stream, read):
        for _ in stream:
            lines += 1
            if read() >= READ and stream.read(1):
                return lines, read(), False
    return lines, file.size, True


def _parsed_lines(file: SetFile, most: int, header: Sequence[str]) -> list[dict]:
    with file.opened() as (stream, _), io.TextIOWrapper(stream, encoding="utf-8", newline="\n") as text:
        lines = [line.rstrip("\n") for line in islice(text, most)]
    if header:
        rows = [line.split("\t") for line in lines]
        odd = next((number for number, row in enumerate(rows, start=1) if len(row) != len(header)), None)
        if odd:
            raise InputError(f"{file.name}, line {odd}: {len(rows[odd - 1])} columns; expected {len(header)}: {', '.join(header)}.")
        return [dict(zip(header, row, strict=True)) for row in rows]
    rows = [parse_json(line, file.name, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file.name}: expected a JSON object in every line.")
    return rows


SAMPLE = 2000  # pairs whose texts are counted; fewer are counted in full
TIMED = 64  # texts that are translated to measure the speed
GIB = 2**30
COUNTS = ["texts", "cached", "tokens", "hours"]
MEMORY = ["weights_gib", "batch_gib"]


def translation_cost(
    pairs: Dataset,
    targets: list[str],
    translator: CachedTranslator,
    tokens_per_second: float | None = None,
    seed: int = 0,
    total: int | None = None,
) -> pd.DataFrame:
    """One row a target language, and `all`: language, texts, cached, tokens, hours, weights_gib, batch_gib, sampled.

    pairs: rows in one language. total: how many there are altogether, where `pairs` are some of them. texts: to be translated altogether;
    cached: of these, done already; tokens: source tokens of the rest. They are counted on `sampled` pairs, drawn by `seed`, and
    extrapolated where these are not all; equal texts count each time, though they are translated once. hours: of one process at the
    given source tokens a second (see `measured_speed`), nan without. weights_gib, batch_gib: memory of the weights and of one batch
    (ModelTranslator.memory). No weights are loaded. A translation memory takes no tokens, hours or memory. Raises UnknownName for a
    language that the model lacks.
    """
    source, texts, count = _sample(pairs, SAMPLE, seed)
    scale = (len(pairs) if total is None else total) / count
    rows = [_row(texts, scale, source, target, translator, tokens_per_second) for target in targets]
    table = pd.DataFrame(rows, columns=["language", *COUNTS, *MEMORY]).assign(sampled=count)
    whole = {"language": "all", **table[COUNTS].sum(skipna=False), **table[MEMORY].max(), "sampled": count}
    counted = {"texts": int, "cached": int, "tokens": int}
    return pd.concat([table, pd.DataFrame([whole])], ignore_index=True).astype(counted)


def measured_speed(pairs: Dataset, target: str, translator: CachedTranslator, seed: int = 0) -> float:
    """Source tokens a second of one process, on TIMED texts drawn by `seed`, after a first batch that is not counted.

    The model itself translates them, past the cache. They are of all lengths and fewer than a full batch: a real run is rather faster.
    A translation memory has infinite speed.
    """
    source, texts, _ = _sample(pairs, TIMED, seed)
    model, texts = translator.for_pair(source, target), texts[:TIMED]
    if not isinstance(model, ModelTranslator):
        return float("inf")
    model.translate(texts[:4], source, target)
    started = time.perf_counter()
    model.translate(texts, source, target)
    return sum(model.count_tokens(texts, source, target)) / (time.perf_counter() - started)


def _sample(pairs: Dataset, most: int, seed: int) -> tuple[str, list[str], int]:
    """(language, texts, number of pairs) of pairs drawn by `seed`; a pair's texts stand together."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:most])
    sample = pairs.select(chosen)
    fields = [sample[column][:] for column in TEXT_COLUMNS if column in pairs.column_names]
    texts = [text for row in zip(*fields, strict=True) for text in row if text]
    return codes(sample, "language")[1][0].as_py(), texts, len(sample)


def _row(texts: list[str], scale: float, source: str, target: str, translator: CachedTranslator, speed: float | None) -> dict:
    known = translator.known(texts, source, target)
    missing = [text for text in texts if text not in known]
    row = {"language": target, "texts": round(len(texts) * scale), "cached": round((len(texts) - len(missing)) * scale)}
    model = translator.for_pair(source, target)
    if not isinstance(model, ModelTranslator):
        return row | dict.fromkeys(["tokens", "hours", *MEMORY], 0)
    tokens = round(sum(model.count_tokens(missing, source, target)) * scale)
    hours = np.nan if speed is None else tokens / speed / 3600
    return row | {"tokens": tokens, "hours": hours} | {name: size / GIB for name, size in zip(MEMORY, model.memory(), strict=True)}


LETTERS_PER_TOKEN = 4.0  # of a multilingual subword tokenizer on Wikipedia, roughly; `tokens_per_passage` counts a sample
CHARACTERS_PER_TOKEN = {"zh": 2.0, "ja": 2.0, "ko": 2.0}  # scripts whose characters say more
PEAK = {"fp32": 19.5e12, "bf16": 312e12}  # FLOP/s of one A100 or A800 (NVIDIA's data sheet; fp32 without TensorFloat-32)
# Share of the peak that is reached. fp32: from the published 155 GPU-hours for the 106 M passages of MIRACL and 3.6 for the 2.45 M of its
# hard-negative pools, base-size encoder, A800: .15 and .18. bf16: assumed, not measured.
UTILISATION = {"fp32": 0.165, "bf16": 0.3}
BYTES = {"fp32": 4, "fp16": 2}


def corpus_sizes(task: str, languages: Sequence[str] = ()) -> pd.DataFrame:
    """language, passages, mean_chars, source of a task's corpora (miracl, miracl-full, mkqa, neuclir, mteb:NAME); no languages: all.

    MKQA's passages are English whatever the questions' languages. Raises UnknownName for a task whose sizes are not known.
    """
    if task.startswith(PREFIX):
        return mteb_sizes(task, languages)
    table = pd.read_csv(PUBLISHED / "corpus_sizes.csv")
    if task not in set(table["task"]):
        raise UnknownName("task with a large corpus", task, table["task"].unique())
    rows = table[table["task"] == task].drop(columns="task").reset_index(drop=True)
    if not languages or set(rows["language"]) == {"en"}:
        return rows
    return rows[rows["language"].isin(languages)].reset_index(drop=True)


def estimated_tokens(sizes: pd.DataFrame, max_tokens: int = 512) -> pd.Series:
    """Tokens of each row of `corpus_sizes`: four characters a token (two in Chinese, Japanese, Korean), at most `max_tokens` a passage."""
    per_token = sizes["language"].map(CHARACTERS_PER_TOKEN).fillna(LETTERS_PER_TOKEN)
    return (sizes["passages"] * (sizes["mean_chars"] / per_token).clip(upper=max_tokens)).round().astype("int64")


def tokens_per_passage(model, texts: Sequence[str]) -> float:
    """Mean tokens of a sample of texts, cut as the model cuts them. Raises InputError where the model gives no rows of tokens."""
    from ..encode.encoding import tokenise

    tokens = tokenise(model, list(texts), "document", None)
    if tokens is None:
        raise InputError("this encoder's tokens cannot be counted beforehand; give the number of tokens a passage.")
    return float(tokens.lengths.mean())


def encoder_shape(name: str | Path, opening: Opening | None = None) -> tuple[int, int]:
    """(parameters that every token passes through, width of a vector), from the model's configuration alone, without its weights.

    A transformer layer has 4 width² parameters of attention and 2 x width x inner ones (Vaswani et al. 2017, section 3); the table of
    subwords costs no products. Raises InputError as `open_model`, or when the configuration does not tell its sizes.
    """
    from transformers import AutoConfig

    from ..base.hub import hub_errors, split_place

    place, revision = split_place(name)
    with hub_errors(str(name)), _no_configuration(name):
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=(opening or Opening()).trust_remote_code)
    width, layers, inner = (getattr(config, key, None) for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    if None in (width, layers, inner):
        raise InputError(f"{name}: its config.json does not tell hidden_size, num_hidden_layers and intermediate_size.")
    return layers * (4 * width**2 + 2 * width * inner), width


@contextmanager
def _no_configuration(name: str | Path):
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise InputError(f"{name}: no configuration of a transformer there; a bag of subwords costs next to nothing.") from error
        raise


def encoding_cost(
    passages: int,
    tokens: int,
    body_parameters: int,
    width: int,
    *,
    precision: str = "fp32",
    vector_precision: str = "fp32",
    queries: int = 10_000,
    depth: int = 100,
    block: int = 16_384,
    threads: int = 8,
) -> dict[str, float]:
    """passages, tokens, gpu_hours (one A100 or A800), disk_gb (vectors), ram_gb (search beside the memory-mapped vectors).

    gpu_hours = 2 x body_parameters x tokens / (peak x share reached): one multiplication and one addition a parameter and token
    (Kaplan et al. 2020, section 2.1). body_parameters: without the table of subwords, as `encoder_shape` gives them. ram_gb is that
    of `search.search`: a block of passages in fp32, 5 bytes for each of a thread's 512 x block scores, the queries and their lists.
    """
    flops = 2 * body_parameters * tokens
    ram = block * width * 4 + threads * 512 * block * 5 + queries * (width * 12 + depth * 12)
    return {
        "passages": passages,
        "tokens": tokens,
        "gpu_hours": flops / (PEAK[precision] * UTILISATION[precision]) / 3600,
        "disk_gb": passages * width * BYTES[vector_precision] / 1e9,
        "ram_gb": ram / 1e9,
    }


def task_cost(task: str, languages: Sequence[str], body_parameters: int, width: int, max_tokens: int = 512, **options) -> pd.DataFrame:
    """`encoding_cost` of one encoder on a task's corpora, a row per language and the sum as `all`; options: as of `encoding_cost`."""
    sizes = corpus_sizes(task, languages)
    tokens = estimated_tokens(sizes, max_tokens)
    pairs = zip(sizes["passages"], tokens, strict=True)
    table = pd.DataFrame([encoding_cost(int(p), int(t), body_parameters, width, **options) for p, t in pairs], index=sizes["language"])
    total = table.sum()
    total["ram_gb"] = table["ram_gb"].max()  # corpora are searched one after the other
    table.loc["all"] = total
    return table.astype({"passages": np.int64, "tokens": np.int64}).rename_axis("language")
