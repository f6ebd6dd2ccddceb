"""Command line: `python -m hybridir_utils run | evaluate | plan | whence | translate | train | check | figures | report | site | profiles |
profile new`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from .base.errors import HybridIRError, InputError, all_or_every_fault, warn_in_lines
from .base.progress import passing_bars


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when it ended well, 1 with a message when it did not, 2 for a wrong call, 141 where nobody reads on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # of a terminal that has no arrow or no α
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    warn_in_lines()
    try:
        with passing_bars():
            status = options.command(options) or 0
        print(end="", flush=True)
        return status
    except BrokenPipeError:
        try:
            print(flush=True)
        except BrokenPipeError:  # nobody reads on, as of `plan | head -1`
            os._exit(141)  # at its end Python would tell what it could not write
        raise
    except HybridIRError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        print(f"{stopped or 'stopped; what was finished is kept'}, and the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hybridir_utils", description="Hybrid batch training for multilingual retrieval, reproduced."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_of_run(commands, "plan", _plan, "say what run would do, why, and how long it is likely to take; nothing is written")
    whence = _add(commands, "whence", _whence, "say where a figure, table, encoder or executed notebook comes from")
    whence.add_argument("path", metavar="PATH")
    _add_of_run(commands, "figures", _figures, "draw every figure and table again from saved results, without training")
    _add_of_run(commands, "report", _pages, "write one HTML page of a run: claims, scores, figures with their origin, cost")
    pages = "write HTML pages of the notebooks and the report, with a start page; they open without the web"
    _add_of_run(commands, "site", _pages, pages)
    _add_of_run(commands, "translate", _translate, "translate into the cache alone; under `accelerate launch`, on several GPUs")
    _add_of_run(commands, "train", _train, "train the encoders alone; under `accelerate launch`, on several devices and hosts")
    check = _add_of_run(commands, "check", _check, "compare a finished run with the paper's numbers; status 1 when a row is off")
    check.add_argument("--as", dest="models", action="append", default=[], metavar="BASE=MODEL", help="a base that stands for a model")
    check.add_argument("--against", default="", metavar="FILE", help="another CSV of expected numbers")
    _add_evaluate(commands)
    _add(commands, "profiles", _profiles, "list the profiles")
    profile = _add(commands, "profile", _profile, "`profile new NAME` writes NAME.toml: every key with its meaning, to fill in")
    profile.add_argument("action", choices=["new"])
    profile.add_argument("new", metavar="NAME", help="names the file, and the folder of its runs")
    return parser


def _add(commands, name: str, does: Callable, says: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=says)
    command.set_defaults(command=does, name=name)
    return command


def _add_of_run(commands, name: str, does: Callable, says: str) -> argparse.ArgumentParser:
    """A command about the run of a profile."""
    command = _add(commands, name, does, says)
    command.add_argument("--profile", default="sample", metavar="NAME|FILE", help="a profile of notebooks/profiles, or a TOML file")
    change = "change one value, e.g. alpha=0.3; for `run`, several: alpha=0,0.5,1"
    command.add_argument("--set", dest="settings", action="append", default=[], metavar="key=value", help=change)
    return command


def _add_run(commands) -> None:
    run = _add_of_run(commands, "run", _run, "execute the notebooks in order, skipping what is up to date")
    which, instead = run.add_mutually_exclusive_group(), run.add_mutually_exclusive_group()
    which.add_argument("--from", dest="start_at", default="", metavar="02", help="run this notebook and all after it again")
    which.add_argument("--only", default="", metavar="03", help="run this notebook alone")
    write_back = "make the finished run the reference: data/results, figures, notebooks, README"
    instead.add_argument("--write-back", action="store_true", help=write_back)
    instead.add_argument("--cost", action="store_true", help="say what it will take (tokens, memory, disk), and start nothing")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side, where --set gives several values")
    scheduler = "dask scheduler; its workers do the runs of several values, or encode one run's corpora"
    run.add_argument("--scheduler", default="", metavar="tcp://…", help=scheduler)
    run.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="end a notebook that takes longer, with all it started")


def _add_evaluate(commands) -> None:
    what = "measure any encoders on any task: retrieval, language bias, and what centring changes"
    evaluate = _add(commands, "evaluate", _evaluate, what)
    model = "a folder, a name on the hub, or of data/encoders.toml; BM25; random"
    evaluate.add_argument("models", nargs="*", metavar="MODEL", help=model)
    function = "a function (texts, role) -> vectors, role: query or document; its vectors are not kept"
    evaluate.add_argument("--encoder", dest="functions", action="append", default=[], metavar="module:function", help=function)
    task = "xquad-r, mlqa-r, worldfacts-test …, beir:FOLDER, squad:FOLDER, or a folder; may be given several times"
    evaluate.add_argument("--task", dest="tasks", action="append", required=True, metavar="TASK", help=task)
    evaluate.add_argument("--languages", nargs="+", default=[], metavar="CODE", help="only these languages of named tasks")
    bad = "of a SQuAD file's questions, how many may be left out as unusable; 0: none"
    evaluate.add_argument("--bad-share", type=_share, metavar="SHARE", help=bad)
    prompts = "before questions and passages, in place of what the encoders bring"
    evaluate.add_argument("--prompts", nargs=2, action="append", default=[], metavar=("QUERY", "PASSAGE"), help=prompts)
    evaluate.add_argument("--output", default="", metavar="FOLDER", help="where table, page and figure go, instead of data/runs/evaluate")


def _evaluate(options) -> int:
    import shlex
    from pathlib import Path

    from .library import read_task
    from .suite.evaluate import about, asked_encoders, default_folder, evaluate_all, told, write_results

    if len(options.prompts) > 1:
        raise InputError(
            "--prompts is given twice; one pair holds for all encoders that are named. Evaluate others in a call of their own."
        )
    command = shlex.join(["python", "-m", "hybridir_utils", *options.arguments])
    bound = {} if options.bad_share is None else {"bad_share": options.bad_share}
    encoders, tasks = all_or_every_fault(
        lambda: asked_encoders(options.models, options.functions, *map(tuple, options.prompts)),
        lambda: {name: read_task(name, options.languages, **bound) for name in options.tasks},
    )
    folder = Path(options.output) if options.output else default_folder(next(iter(encoders)), command)
    results, failed = evaluate_all(encoders, tasks, folder)
    print(*map(told, results), sep="\n")
    print("", *write_results(folder, results, about(encoders, failed, command)), sep="\n")
    return 1 if failed else 0


def _run(options) -> int:
    from .experiment.run import changes_of
    from .experiment.settings import read_settings
    from .provenance.fingerprints import CHANGES, commit

    if any(len(setting.values) > 1 for setting in read_settings(options.settings)):
        return _sweep(options)
    if options.jobs != 1:
        raise InputError("--jobs: runs side by side, and this is one run. Trainings side by side are set by --set jobs=2.")
    if options.scheduler:
        options.settings.append(f"scheduler={options.scheduler}")
    run = _open(options)
    if options.write_back and run.name != run.profile.name:
        raise InputError(f"--write-back: a reference is of a profile as it stands, not of {', '.join(changes_of(run))}; leave --set out.")
    if options.write_back and commit().endswith(CHANGES):
        raise InputError("--write-back: a reference names its commit, and the checkout has changes that no commit holds. Commit first.")
    if options.cost:
        _cost(run)
    else:
        _run_notebooks(run, options)
    return 0


def _run_notebooks(run, options) -> None:
    from .suite.readers import summarise
    from .suite.reference import compare_with_reference
    from .suite.running import run_suite

    run_suite(run, options.start_at, options.only, options.timeout)
    print(summarise(run))
    if found := compare_with_reference(run, partial=bool(options.only)):
        print(*found.lines(), sep="\n  ")
    if options.write_back:
        from .suite.reference import write_back

        print(*write_back(run), sep="\n")


def _sweep(options) -> int:
    from .suite.sweep import WELL, announcement, outcome_table, run_sweep, sweep_head, sweep_of, write_sweep

    if options.jobs < 1:
        raise InputError(f"--jobs: expected 1 or more runs side by side, found {options.jobs}.")
    for option in ("write_back", "cost"):
        if getattr(options, option):
            raise InputError(f"--{option.replace('_', '-')} is about one run at a time: give every --set one value.")
    sweep = sweep_of(options.profile, options.settings)
    print(announcement(sweep), flush=True)
    outcomes = run_sweep(sweep, options.jobs, options.scheduler, options.start_at, options.only, options.timeout)
    print(f"\n{outcome_table(outcomes)}")
    well = [pair for *pair, outcome in zip(sweep.runs, sweep.values, outcomes, strict=True) if outcome.status in WELL]
    if written := write_sweep(sweep.name, sweep.command, well):
        print(f"\n{sweep_head(written[1])}\nall runs' scores: {written[0]}")
    return 0 if len(well) == len(outcomes) else 1


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) < float("inf"):
        raise ValueError(text)
    return seconds


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) <= 1:
        raise ValueError(text)
    return share


def _plan(options) -> int:
    from .experiment.preparation import check_data
    from .experiment.sources import prompt_notes
    from .studies.languages import many_run
    from .suite.plan import as_text, plan

    run, status = _open(options), 0
    try:
        check_data(run)
        check_data(many_run(run), f"notebook 08 (many_pairs = {run.profile.many_pairs}): ")
    except InputError as error:  # before all that would run, below which nobody looks for it
        print(f"error: {error}", file=sys.stderr, flush=True)
        status = 1
    print(as_text(plan(run)), *prompt_notes(run.profile), sep="\n")
    return status


def _whence(options) -> None:
    from .suite.whence import as_text, provenance_of

    print(as_text(provenance_of(options.path)))


def _cost(run) -> None:
    from .results.tables import as_texts
    from .suite.costs import run_cost

    for heading, table in run_cost(run):
        print(f"{heading}:\n{as_texts(table).mask(table.isna(), 'unknown').to_string()}\n", flush=True)


def _translate(options) -> None:
    from .base.distributed import rank
    from .experiment.preparation import fill_translations

    cache = fill_translations(_open(options))
    if rank() == 0:
        print(f"translations: {cache}")


def _train(options) -> None:
    from .base.distributed import rank
    from .experiment.encoders import trained_encoders
    from .experiment.run import origin_of
    from .experiment.sources import check_places
    from .provenance import reads

    run = _open(options)
    reads.set_origin(notebook="", **origin_of(run))
    if rank() == 0:
        check_places(run.profile)
    encoders = trained_encoders(run)
    if rank() == 0:
        print(*(f"{key.name}: {folder}" for key, folder in encoders.items()), sep="\n")


def _check(options) -> int:
    from .experiment.run import save_table
    from .results.figures import read_result
    from .results.paper import check, read_published, report

    run = _open_saved(options)
    models = dict(text.rpartition("=")[::2] for text in options.models)
    if not all(models):
        raise InputError("--as: expected BASE=MODEL, for example --as st:/models/labse=LaBSE.")
    published = read_published(options.against) if options.against else None
    table = check(read_result(run, "scores"), read_result(run, "bias"), models, published)
    print(report(table) if run.committed else f"{report(save_table(run, 'check', table))}; all rows: {run.results / 'check.csv'}")
    return 1 if (table["verdict"] == "off").any() else 0


def _figures(options) -> None:
    from .results.figures import draw_all
    from .suite.readers import write_tables

    run = _open_saved(options)
    for path in [*draw_all(run), *write_tables(run)]:
        print(path)


def _pages(options) -> None:
    from .suite.report import write_report, write_site

    print({"report": write_report, "site": write_site}[options.name](_open_saved(options)))


def _profiles(options) -> None:
    from .base.files import PROFILES
    from .experiment.profile import load_profile

    for path in sorted(PROFILES.glob("*.toml")):
        profile = load_profile(str(path))
        print(f"{profile.name}: trains on {', '.join(profile.pair_sets)}; evaluates {', '.join(profile.tasks)}")


def _profile(options) -> None:
    from .experiment.settings import write_template

    path = write_template(options.new)
    print(f"{path}: fill it in, then see what it would run: python -m hybridir_utils plan --profile {path}")


def _open(options):
    from .experiment.run import open_run
    from .experiment.settings import one_run

    return open_run(options.profile, **one_run(options.settings, options.name))


def _open_saved(options):
    """For what reads saved tables: the reference's, where the run has saved none."""
    from .experiment.run import saved_run

    return saved_run(_open(options))


if __name__ == "__main__":
    sys.exit(main())
