"""Figures are functions of saved tables: all can be drawn again, to the same bytes, without torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import STRATEGIES as TRAINED
from made_up import made_up_tables
from matplotlib.colors import to_rgb
from PIL import Image

from hybridir_utils.base import files
from hybridir_utils.base.errors import InputError, MissingInput, UnknownName
from hybridir_utils.base.files import file_fingerprint
from hybridir_utils.data.batching import SCHEDULES, STRATEGIES
from hybridir_utils.experiment.run import open_run, save_table, saved_run
from hybridir_utils.provenance.fingerprints import source_of
from hybridir_utils.results import figures, plots, style
from hybridir_utils.results.figures import FIGURES, draw, draw_all, read_result
from hybridir_utils.results.style import COLOURS, in_order, new_figure, save_figure
from hybridir_utils.results.tables import FITS, fitted
from hybridir_utils.suite import notebook
from hybridir_utils.suite.whence import embedded


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """An output folder with made-up tables of the sample profile, all figures drawn from them."""
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        run = open_run("sample")
        for name, table in made_up_tables().items():
            save_table(run, name, table)
        draw_all(run)
    return folder


@pytest.fixture
def run(output, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(output))
    return open_run("sample")


def drawn(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_registered_figure_is_drawn_as_png_and_svg_and_nothing_else_is_left(run):
    assert sorted(drawn(run.figures)) == sorted(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg"))
    for name, data in drawn(run.figures).items():
        assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml"), name
        assert len(data) < (400_000 if name.endswith("png") else 1_500_000), name


COMMAND = """
import sys
from hybridir_utils.__main__ import main
status = main(["figures"])
print("LOADED", *[name for name in ("torch", "sentence_transformers", "transformers") if name in sys.modules])
sys.exit(status)
"""


def test_the_command_draws_the_same_bytes_in_a_fresh_process_without_torch(run, tmp_path):
    """Another process, folder, hash seed and locale; the tables alone decide."""
    (tmp_path / "data" / "runs" / "sample").mkdir(parents=True)
    (tmp_path / "data" / "runs" / "sample" / "results").symlink_to(run.results)
    environment = {**os.environ, "HYBRIDIR_OUTPUT": str(tmp_path), "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", COMMAND], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["LOADED"], "drawing figures imports a training library"
    again = drawn(tmp_path / "data" / "runs" / "sample" / "figures")
    assert {name: data for name, data in again.items() if not name.endswith(".md")} == drawn(run.figures)
    tables = {name for name in again if name.endswith(".md")}
    assert tables == {"scores.md", "paper.md", "bias_worldfacts-test.md", "bias_worldfacts-shifted.md", "claims.md"}
    assert set(map(Path, done.stdout.splitlines()[:-1])) == {
        tmp_path / "data" / "runs" / "sample" / "figures" / name for name in again if not name.endswith(".svg")
    }


def test_another_value_in_a_table_is_another_figure(run, tmp_path, monkeypatch):
    before = (run.figures / "01_coverage.png").read_bytes()
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    table = made_up_tables()["coverage"]
    save_table(run, "coverage", table)
    assert draw(run, "01_coverage").read_bytes() == before
    table.loc[0, "pairs"] += 50
    save_table(run, "coverage", table)
    assert draw(run, "01_coverage").read_bytes() != before


def test_files_carry_caption_run_and_the_tables_fingerprint_but_no_date(run):
    svg = (run.figures / "03_scores.svg").read_text(encoding="utf-8")
    assert FIGURES["03_scores"].caption in svg and "Run sample; tables scores." in svg
    source = {"notebook": "03", "run": "sample", "tables": {"scores": file_fingerprint(run.results / "scores.csv")}}
    assert embedded(run.figures / "03_scores.svg") == embedded(run.figures / "03_scores.png") == source
    assert not re.search(r"<dc:date>", svg)
    assert FIGURES["03_scores"].caption.encode() in (run.figures / "03_scores.png").read_bytes()


def test_every_figure_has_a_caption_and_names_the_tables_it_takes():
    tables = set(made_up_tables())
    for name, recipe in FIGURES.items():
        assert recipe.caption.endswith(".") and len(recipe.caption) > 20, name
        assert set(recipe.tables) <= tables, name
        module, function = recipe.place
        assert function in source_of(module).meanings, f"{name}: no {function} in {module}"


def test_notebooks_show_the_caption_as_alternative_text(run):
    shown = notebook.show_figure(run, "01_coverage")
    assert shown.alt == FIGURES["01_coverage"].caption and shown.data == (run.figures / "01_coverage.png").read_bytes()


def test_a_missing_table_names_the_command_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    with pytest.raises(MissingInput, match=r"coverage\.csv: not there yet.*python -m hybridir_utils run --profile sample"):
        draw(run, "01_coverage")
    with pytest.raises(MissingInput, match="python -m hybridir_utils run --profile sample"):
        draw_all(run)
    assert not run.figures.exists()


@pytest.mark.parametrize("content", [b"", b'a,b\n"1,2\n', b"a\n\xff\xfe\n"])
def test_a_damaged_table_is_named(tmp_path, monkeypatch, content):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    run.results.mkdir(parents=True)
    (run.results / "coverage.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"coverage\.csv: not a CSV table"):
        read_result(run, "coverage")


def test_an_unknown_figure_offers_the_nearest(run):
    with pytest.raises(UnknownName, match=r"did you mean '03_scores'\?"):
        draw(run, "03_score")


def test_only_figures_whose_tables_are_there_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    other = open_run("sample")
    save_table(other, "coverage", made_up_tables()["coverage"])
    assert [path.stem for path in draw_all(other)] == ["01_coverage"]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_rows_is_a_sentence_in_the_text(name, tmp_path, monkeypatch):
    """A run without `many_counts`, whose measured growth has no rows, as any other."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, tables = open_run("sample"), made_up_tables()
    for table in FIGURES[name].tables:
        save_table(run, table, tables[table].iloc[:0])
    save_table(run, "coverage" if name != "01_coverage" else "lengths", tables["coverage" if name != "01_coverage" else "lengths"])
    assert len(draw_all(run)) == 1 and draw(run, name) is None and not list(run.figures.glob(f"{name}.*"))
    assert repr(notebook.show_figure(run, name)) == f"Left out, as this run has none: {FIGURES[name].caption}"


COMMITTED = [
    path for path in (files.ROOT / "data" / "results").iterdir() if path.is_dir() and (files.PROFILES / f"{path.name}.toml").is_file()
]


@pytest.fixture
def laid_out(monkeypatch) -> dict:
    """Name -> figure that is drawn, in no file: that figures become the same files is tested above."""
    found = {}

    def lay_out(figure, folder, name, *about):
        style.separate_thousands(figure)  # as `save_figure` does
        figure.draw_without_rendering()
        found[name] = figure
        return {"png": name}

    monkeypatch.setattr(figures, "save_figure", lay_out)
    return found


@pytest.mark.skipif(not COMMITTED, reason="data/results holds no saved results yet")
@pytest.mark.parametrize("results", COMMITTED, ids=lambda path: path.name)
def test_committed_results_draw_their_figures_again(results, tmp_path, monkeypatch, laid_out):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = saved_run(open_run(results.name))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph|constrained_layout")
        assert draw_all(run) == list(laid_out)
    faults = {name: unreadable(figure) for name, figure in laid_out.items()}
    assert not any(faults.values()), {name: found for name, found in faults.items() if found}
    assert not {name: lacking for name in BY_LANGUAGE if name in laid_out and (lacking := unnamed_languages(run, name, laid_out[name]))}
    committed = {path.stem for path in (files.ROOT / "figures" / results.name).glob("*.png")}  # of some runs
    assert set(laid_out) == committed if committed else len(laid_out) > 5


SMALLEST = 6  # points
APART = 1.0  # points between two texts


def shown_texts(figure) -> list:
    """Every text of a figure that is drawn: titles, labels, numbers, the legend, and ticks in view."""
    found = [text for legend in figure.legends for text in (legend.get_title(), *legend.get_texts())]
    found += list(figure.texts)
    for ax in figure.axes:
        found += ax.texts
        if ax.axison:
            found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ticks_in_view(ax.xaxis), *ticks_in_view(ax.yaxis)]
    return [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]


def ticks_in_view(axis) -> list:
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def unreadable(figure) -> list[str]:
    """What a reader of a figure cannot read: texts that are small, cut off or touch each other, thousands that run together."""
    texts, apart = shown_texts(figure), APART * figure.dpi / 72 / 2
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox.padded(1)
    faults = [f"small: {text.get_text()!r}" for text in texts if text.get_fontsize() < SMALLEST]
    faults += [f"cut: {text.get_text()!r}" for text, box in zip(texts, boxes, strict=True) if not inside(box, page)]
    faults += [f"thousands: {text.get_text()!r}" for text in texts if re.search(r"(?<![.\d])\d{4}", text.get_text())]
    placed = list(zip(texts, (box.padded(apart) for box in boxes), strict=True))
    faults += [f"touch: {a.get_text()!r}, {b.get_text()!r}" for (a, one), (b, other) in combinations(placed, 2) if one.overlaps(other)]
    return faults


def inside(box, page) -> bool:
    return page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


# Figure -> columns of its table whose languages stand on the axes of every panel, or of the panels that share them.
BY_LANGUAGE = {
    "01_coverage": ("language",),
    "01_lengths": ("language",),
    "01_rejections": ("language",),
    "02_batches": ("passage_language", "question_language"),
    "03_languages": ("query_language",),
    "03_heatmap": ("candidate_language", "query_language"),
    "04_language_share": ("query_language",),
    "07_pairs": ("candidate_language", "query_language"),
    "08_languages": ("language",),
}


def unnamed_languages(run, name: str, figure) -> set[str]:
    """The languages of the figure's table that a reader does not find on the axes."""
    table = read_result(run, FIGURES[name].tables[0])
    grid = [ax for ax in figure.axes if ax.axison and ax.get_subplotspec() and ax.get_label() != "<colorbar>"]
    sides = (
        [
            {text.get_text() for text in ticks_in_view(ax.xaxis) if text.get_visible()}
            for ax in grid
            if ax.xaxis.get_tick_params()["labelbottom"]
        ],
        [{text.get_text() for text in ticks_in_view(ax.yaxis)} for ax in grid if ax.get_subplotspec().is_first_col()],
    )
    wanted = [set(table[column]) - {"macro"} for column in BY_LANGUAGE[name]]
    return {code for codes, side in zip(wanted, sides, strict=False) for found in side or [set()] for code in codes - found}


def test_what_cannot_be_read_is_found():
    figure, axes = new_figure(columns=8, height=1.2)
    axes[0, 0].set_xticks(range(4), ["untrained", "X-X-mono", "En-En", "hybrid"], rotation=20)
    axes[0, 4].text(0.5, 0.5, "tiny", fontsize=4)
    figure.text(0.9, 0.5, "far beyond the edge of the page")
    figure.draw_without_rendering()
    faults = " ".join(unreadable(figure))
    assert "touch: 'untrained', 'X-X-mono'" in faults and "small: 'tiny'" in faults and "cut: 'far" in faults
    assert not unreadable(figures.note_figure("Nothing to show.")), "a plain figure has no fault"


@pytest.mark.parametrize(
    ("values", "scale", "told"),
    [((0, 4800), "linear", "2,000"), ((-2600, 0), "linear", "−1,000"), ((1000, 1001), "linear", "1,000.2"), ((2, 20000), "log", "10,000")],
)
def test_thousands_of_every_axis_are_separated(values, scale, told, tmp_path):
    figure, axes = new_figure()
    axes[0, 0].plot(values, [0, 0.5])
    axes[0, 0].set_xscale(scale)
    svg = save_figure(figure, tmp_path, "plot", "about")["svg"].read_text(encoding="utf-8")
    assert f">{told}</text>" in svg and ">0.1</text>" in svg, "an axis below a thousand keeps its own numbers"


def test_no_table_but_the_first_task_and_no_base_but_one_draws_too(tmp_path, monkeypatch, laid_out):
    """A user's own run may have one task, one base, one seed and two strategies."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    keep = {
        "task": ["worldfacts-test"],
        "base": ["aligned", "reference"],
        "seed": [0, 1],
        "strategy": ["X-Y", "hybrid", "untrained", "BM25", "random"],
    }
    for name, table in made_up_tables().items():
        for column, values in keep.items():
            table = table[table[column].isin(values)] if column in table else table
        save_table(run, name, table)
    assert set(draw_all(run)) == set(laid_out) == set(FIGURES) - {"06_kept"}, "no other task is shifted"


def test_three_test_sets_can_be_read_too(tmp_path, monkeypatch, laid_out):
    """A third of each figure's width for each; values that need four digits, and names as long as those of real sets."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    names = {"worldfacts-test": "mscourses-test", "worldfacts-shifted": "xquad-r"}
    tables = made_up_tables()
    mixing = tables["mixing"].replace({"task": names})
    close = mixing.assign(value=mixing["value"].where(mixing["metric"] != "mAP", 0.766 + 0.015 * mixing["value"]))
    best = tables["mixing_best"].replace({"task": names}).assign(n_groups=1190)
    for name, table in (("mixing", close), ("mixing_best", best)):
        third = table[table["task"] == "xquad-r"].assign(task="mlqa-r")
        save_table(open_run("sample"), name, pd.concat([table, third], ignore_index=True))
    draw_all(open_run("sample"))
    assert set(laid_out) >= {"05_pareto", "05_recommended"}
    assert not {name: found for name, figure in laid_out.items() if (found := unreadable(figure))}


@pytest.mark.parametrize("name", ["01_lengths", "06_kept", "08_languages", "08_cost", "08_growth"])
def test_an_axis_from_zero_cuts_no_dot(name):
    """Also where values are nearly alike, of which a margin of what they span would be none."""
    tables = [made_up_tables()[table] for table in FIGURES[name].tables]
    alike = [table.assign(**{name: 0.7 + 0.001 * (np.arange(len(table)) % 3) for name in table.select_dtypes("float")}) for table in tables]
    for ax in FIGURES[name].draw(*alike).axes:
        low, high = ax.get_ylim()
        assert low == 0 and high > 1.02 * ax.dataLim.y1, ax.get_title()


def test_strategies_have_colours_of_their_own_in_one_order():
    assert set(STRATEGIES) <= set(COLOURS) and len(set(COLOURS.values())) == len(COLOURS)
    assert in_order(["zeta", "hybrid", "X-X", "alpha", "BM25"]) == ["X-X", "hybrid", "BM25", "alpha", "zeta"]


# What a reader with protanopia, deuteranopia or tritanopia sees of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHTS = {
    "trichromat": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = TO_XYZ.sum(axis=1)
APART_IN_LAB = 15  # CIE 1976; 2.3 is what can just be told


def linear(colour: str) -> np.ndarray:
    """Linear RGB of an sRGB colour `#rrggbb`."""
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, sight) -> np.ndarray:
    """CIELAB of a colour as it is seen."""
    part = TO_XYZ @ np.clip(np.array(sight) @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def told_apart(one: str, other: str) -> float:
    """The distance of two colours for the readers who see them nearest."""
    return min(np.linalg.norm(lab(one, sight) - lab(other, sight)) for sight in SIGHTS.values())


@pytest.mark.parametrize(
    "together", [set(COLOURS) - set(SCHEDULES), {*SCHEDULES, "X-Y", "X-X-mono", "hybrid"}], ids=["methods", "mixes"]
)  # schedules stand beside the ends of their grid alone
def test_methods_of_one_figure_can_be_told_apart_by_every_reader(together):
    assert told_apart("#009E73", "#117733") > 15 > told_apart("#D55E00", "#8A7A00"), "two greens differ in lightness, these for some not"
    near = {(one, other): told_apart(COLOURS[one], COLOURS[other]) for one, other in combinations(sorted(together), 2)}
    assert not {names: distance for names, distance in near.items() if distance < APART_IN_LAB}


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours."""
    light, dark = sorted((TO_XYZ[1] @ linear(one), TO_XYZ[1] @ linear(other)))[::-1]
    return (light + 0.05) / (dark + 0.05)


def test_words_on_coloured_cells_have_the_contrast_of_wcag():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21, abs=0.01)
    figure = FIGURES["09_verdicts"].draw(made_up_tables()["claims"])
    cells = [(patch.get_facecolor(), patch.get_bbox()) for patch in figure.axes[0].patches]
    for text in figure.axes[0].texts:
        (ground,) = [colour for colour, box in cells if box.contains(*text.get_position())]
        assert contrast(text.get_color(), ground) >= 7, text.get_text()
    assert all(contrast(text.get_color(), "white") >= 7 for text in shown_texts(figure))


def test_pictures_are_opaque_twice_as_dense_as_the_page_and_small(run):
    for path in sorted(run.figures.glob("*.png")):
        with Image.open(path) as image:
            assert image.width == 2 * 860 and image.info["dpi"][0] == pytest.approx(200, abs=0.1), path.name
            assert "transparency" not in image.info and image.convert("RGBA").getextrema()[3] == (255, 255), path.name
            corners = {image.convert("RGB").getpixel((x, y)) for x in (0, image.width - 1) for y in (0, image.height - 1)}
            assert corners == {(255, 255, 255)}, f"{path.name}: white on a dark page, too"
    assert notebook.show_figure(run, "01_coverage").width == 860


def hex_colours(svg: str) -> set[str]:
    return {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}", svg)}


@pytest.mark.parametrize(
    "name",
    ["02_losses", "03_scores", "03_languages", "04_rank_distance", "04_language_share", "04_alignment", "04_debiasing", "04_beside_a_mean"],
)
def test_figures_of_strategies_use_the_strategies_colours(run, name):
    used = hex_colours((run.figures / f"{name}.svg").read_text(encoding="utf-8"))
    assert {COLOURS[strategy].lower() for strategy in TRAINED} <= used


def test_centring_stands_beside_the_papers_encoders_where_the_task_is_the_papers():
    debiasing = made_up_tables()["debiasing"]
    own, papers = (plots.beside_a_mean(debiasing.assign(task=task)) for task in ("a task", "xquad-r"))
    legends = [{text.get_text() for text in figure.legends[0].get_texts()} for figure in (own, papers)]
    means = {"each language's mean over the pool taken off", "mean over training passages (none in th) taken off"}
    ours = means | {"as it is", "a seed"}
    assert legends == [ours, ours | {"paper: XLM-R", "paper: LaBSE"}]


def test_what_training_free_methods_give_is_drawn_of_the_pool_and_of_other_text_each_panel_on_its_own_axis():
    debiasing = made_up_tables()["debiasing"].query("method == 'none' or strategy == 'hybrid'")
    debiasing.loc[debiasing["setting"] == "monolingual", "value"] *= 0.01
    beside, changes = plots.beside_a_mean(debiasing), plots.debiasing(debiasing)
    for figure, of_other in ((beside, "mean over training"), (changes, "open: fitted on training passages (none in th)")):
        assert of_other in " ".join(text.get_text() for text in figure.legends[0].get_texts())
        first, second = (ax.get_xlim() for ax in figure.axes[:2])
        assert (first[1] - first[0]) < 0.2 * (second[1] - second[0])
    drawn = {line.get_marker(): line for line in beside.axes[0].lines if line.get_color() == COLOURS["hybrid"]}
    rows = debiasing.query("base == 'aligned' and strategy == 'hybrid' and setting == 'monolingual' and method in ('none', 'centring')")
    means = fitted(rows, *FITS).groupby("fitted_on")["value"].mean()
    assert {text: float(drawn[mark].get_xdata()[0]) for text, mark in plots.BESIDE.items()} == pytest.approx(means.to_dict())
    assert "identified" in told_below(changes)


def test_a_map_has_three_panels_a_row_at_most():
    table = made_up_tables()["map"]
    figure = plots.map(table)
    assert table["strategy"].nunique() > 3 >= max(ax.get_subplotspec().get_gridspec().ncols for ax in figure.axes)


@pytest.mark.parametrize("name", ["05_curves", "05_pareto"])
def test_figures_of_mixes_use_the_colours_of_schedules_and_of_the_grids_ends(run, name):
    used = hex_colours((run.figures / f"{name}.svg").read_text(encoding="utf-8"))
    assert {COLOURS[strategy].lower() for strategy in (*SCHEDULES, "X-Y", "X-X-mono", "hybrid")} <= used


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_says_what_it_shows(run, name):
    """Every registered figure has words on it: axis labels or titles, beside its tick labels."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (run.figures / f"{name}.svg").read_text(encoding="utf-8"))
    assert any(re.search(r"[a-z]{4}", text) for text in texts), texts


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    figure, axes = new_figure()
    axes[0, 0].plot([1, 2])
    before = save_figure(figure, tmp_path, "plot", "about")["png"].read_bytes()

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(figure), "savefig", fails)
    with pytest.raises(InputError, match="No space left on device"):
        save_figure(figure, tmp_path, "plot", "about")
    assert (tmp_path / "plot.png").read_bytes() == before


def test_drawing_keeps_no_figure_in_memory(run):
    import matplotlib.pyplot as plt

    draw(run, "01_coverage")
    assert plt.get_fignums() == []


def test_registered_names_begin_with_their_notebooks_number():
    numbers = {path.stem[:2] for path in files.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert {name[:2] for name in figures.FIGURES} <= numbers


def test_settings_have_the_papers_short_names():
    assert list(style.SHORT_SETTINGS.values()) == ["Mo.", "Cr.", "Mul."]


@pytest.mark.parametrize("name", ["03_scores", "04_alignment", "07_recall", "08_methods"])
@pytest.mark.parametrize("highest", [0.3, 0.95, 1.0])
def test_an_axis_of_shares_ends_at_one_and_every_number_at_a_bar_stands_within(name, highest):
    table = made_up_tables()[FIGURES[name].tables[0]]
    figure = FIGURES[name].draw(table.assign(value=highest * table["value"]).replace({"value": {table["value"].max() * highest: highest}}))
    figure.canvas.draw()
    for ax in figure.axes:
        ends, side = (ax.get_xlim(), 0) if name == "08_methods" else (ax.get_ylim(), 1)
        assert ends[0] == 0 and ends[1] <= 1
        box = ax.get_window_extent()
        for text in filter(lambda text: text.get_text(), ax.texts):
            drawn = text.get_window_extent()
            assert (box.x0, box.y0)[side] <= (drawn.x0, drawn.y0)[side] and (drawn.x1, drawn.y1)[side] <= (box.x1, box.y1)[side] + 1


@pytest.mark.parametrize("height", [0.3, 0.6, 0.78, 0.85, 0.95])
def test_no_number_at_a_bar_hides_a_mark_of_the_papers(height):
    scores = made_up_tables()["scores"]
    figure = plots.scores(scores[scores["task"] == "worldfacts-test"].assign(task="xquad-r", value=height))
    figure.draw_without_rendering()
    looks, half = [look["marker"] for look in plots.PAPER_LOOKS.values()], 2 / 72 * figure.dpi
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts]
        marks = [ax.transData.transform(line.get_xydata()[0]) for line in ax.lines if line.get_marker() in looks]
        marks = [place for place in marks if np.isfinite(place).all()]
        assert marks and not [place for place in marks if any(box.padded(half).contains(*place) for box in boxes)]


def test_a_heat_maps_colours_end_at_the_highest_value_and_say_so():
    heat = made_up_tables()["heat"]
    figure = plots.heatmap(heat.assign(value=heat["value"] * 0.4), made_up_tables()["scores"])
    top = 0.4 * heat["value"].max()
    assert figure.axes[0].collections[0].get_clim() == (0, pytest.approx(top)) and f"{top:.3f}" in figure.axes[-1].get_ylabel()


def test_figures_of_one_test_set_name_it():
    tables = made_up_tables()
    for figure in (plots.languages(tables["scores"]), plots.heatmap(tables["heat"], tables["scores"])):
        assert figure.get_suptitle() == f"{tables['scores']['task'].iloc[0]}, mean over seeds"
    for figure in (plots.debiasing(tables["debiasing"]), plots.beside_a_mean(tables["debiasing"])):
        assert figure.get_suptitle() == tables["debiasing"]["task"].iloc[0]
    assert "where it has the set" in FIGURES["04_beside_a_mean"].caption, "the paper's encoders are not on every one"


def test_numbers_on_bars_of_languages_stand_on_white_and_are_told():
    (ax,) = plots.coverage(made_up_tables()["coverage"]).axes
    assert ax.texts and all(text.get_bbox_patch() and text.get_fontsize() >= 7 and text.get_zorder() > 3 for text in ax.texts)
    assert "numbers: after the last" in FIGURES["01_coverage"].caption


def test_a_cell_beyond_the_colours_is_told_at_their_bar():
    shares = made_up_tables()["language_shares"]
    shares.loc[shares["strategy"] == "En-En", "realised"] = [0.0] * 8 + [1.0]
    several, alone = plots.batches(shares), plots.batches(shares[shares["strategy"] == "En-En"])
    others = plots.batches(shares[shares["strategy"] != "En-En"])
    bars = [figure.axes[0].collections[0].colorbar for figure in (several, alone, others)]
    assert [bar.extend for bar in bars] == ["max", "neither", "neither"]
    assert [bar.ax.get_ylabel() for bar in bars] == ["% of pairs (En-En: 100)", "% of pairs", "% of pairs"]
    assert re.fullmatch(r"En-En\n≤ \d+\.\d points off plan", several.axes[0].get_title())


def told_below(figure) -> str:
    return " ".join([figure.legends[0].get_title().get_text(), *(text.get_text() for text in figure.legends[0].get_texts())])


def test_a_legend_names_no_seeds_where_there_is_one():
    tables = made_up_tables()
    one = tables["debiasing"][lambda rows: rows["seed"] == 1]
    with_base = pd.concat([one, one[one["strategy"] == "X-Y"].assign(strategy="untrained", seed=0)])
    assert "over seeds" in told_below(plots.debiasing(tables["debiasing"])) and "over seeds" not in told_below(plots.debiasing(with_base))
    assert "seeds" in told_below(plots.differences(tables["tests"])) and "seeds" not in told_below(plots.differences(tables["bias_tests"]))
    mixing = tables["mixing"]
    assert "range" not in told_below(FIGURES["05_curves"].draw(mixing[mixing["seed"] == 1]))


def test_differences_say_on_which_side_a_strategy_is_better():
    tables = made_up_tables()
    assert "right of" in told_below(plots.differences(tables["tests"])) and "left of" in told_below(plots.differences(tables["bias_tests"]))
    recall = plots.differences(tables["question_tests"])
    assert {ax.get_xlabel() for ax in recall.axes} - {""} == {"Recall@1 minus hybrid's"} and "all pairs" in recall.axes[0].get_title()
