"""``ablate failures``: which runs failed, of what, where to read more, and what to type."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, say, say_command
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    open_study,
)
from ablate.ground.failures import FailureKind

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.api.plans import Shown
    from ablate.record.failures import FailedRun, FailureGroup
    from ablate.record.store import Store

SHOWN_CONDITIONS = 4
SHOWN_GROUPS = 5  # below other tables
TAIL = 4  # lines of the log: the last frame of a traceback and what was raised


def failures(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    cause: Annotated[list[FailureKind] | None, typer.Option(help="Only these; repeatable.")] = None,
    lines: Annotated[int, typer.Option(min=0, metavar="N", help="Lines of a log to show of each.")] = 8,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Group a study's failed runs by what they failed of, and say how to train them again.

    error: of the training; memory: it ran out; killed: by a signal from outside; machine: disk, device or
    node; tracker: a tracking server that the training itself talks to. Errors are the same where type, place
    and message are, whatever numbers, paths and addresses are in it.
    """
    from ablate.record.commands import here

    opened, name = open_study(store, study, study_option)
    failed, n_runs = failed_runs_of(opened, name)
    chosen = [run for run in failed if not cause or run.failure.kind in cause]
    groups = _grouped(chosen)
    if output is Printout.JSON:
        print_json(
            {
                "schema": "ablate.failures/1",
                "study": name,
                "store": str(opened.title),
                "n_runs": n_runs,
                "n_failed": len(chosen),
                "groups": [_describe_group(opened, name, group, lines) for group in groups],
            }
        )
        return
    where = "" if not cause else f" ({', '.join(kind.words for kind in cause)})"
    _say_total(f"Study {name} in {opened.title}", len(chosen), n_runs, where)
    for group in groups:
        print()
        _print_group(group, lines, SHOWN_CONDITIONS)
        if opened.bundle is None:
            _print_retry(opened, name, group)
    if groups and opened.bundle is not None:
        print()
        _say_import(opened.bundle)
    elif groups:
        print()
        whole = here(opened, f"ablate show {groups[0].last.folder.run_id} --log")
        say_command(whole, before="A whole log:")


def failed_runs_of(store: "Store", study: str) -> "tuple[list[FailedRun], int]":
    """The failed runs of a study, and how many runs it has. A damaged one has not failed."""
    from ablate.ground.errors import StoreError
    from ablate.record.failures import FailedRun
    from ablate.record.index import Index
    from ablate.record.rundir import State

    index, failed, folders = Index.of(store, study), [], store.study_runs(study)
    for folder in folders:
        try:
            status = index.status(folder)
        except StoreError:  # `ablate status` tells of it
            continue
        if status.state is State.FAILED:
            failed.append(FailedRun(folder, status))
    return failed, len(folders)


def _grouped(failed: "Iterable[FailedRun]") -> "list[FailureGroup]":
    from ablate.record.failures import grouped

    return grouped(failed)


def _describe_group(store: "Store", study: str, group: "FailureGroup", n_lines: int) -> dict[str, Any]:
    """A group for JSON."""
    from ablate.record.commands import retrying

    return {
        "cause": group.kind,
        "message": group.message,
        "where": group.where,
        "n_runs": len(group.runs),
        "runs": [_describe_run(run) for run in group.runs],
        "log_tail": group.last.folder.log_tail(n_lines),
        "retry": retrying(store, study, [group.kind]),
    }


def _describe_run(run: "FailedRun") -> dict[str, Any]:
    folder = run.folder
    return {
        "run_id": folder.run_id,
        "name": folder.name,
        "seed": folder.seed,
        **({} if folder.fold is None else {"fold": folder.fold}),
        "message": run.failure.error or run.status.cause,
        "ended_at": run.status.ended_at,
        "attempt": run.status.attempt,
        "host": run.status.host,
        "job": run.status.job,
        "log": str(folder.log_file) if folder.log_file.exists() else None,
    }


def print_failures(runs: "Sequence[Shown]", study: str, store: "Store") -> None:
    """The failed runs among ``runs`` by what they failed of, each with the end of one log."""
    from dataclasses import replace

    from ablate.record.failures import FailedRun
    from ablate.record.rundir import State

    folders = [
        replace(store.folder(run.run_id), name=run.name, seed=run.seed, fold=run.fold)
        for run in runs
        if run.state is State.FAILED
    ]
    failed = [FailedRun(folder, folder.status()) for folder in folders]
    print_grouped(_grouped(failed), len(runs), study, store)


def print_grouped(groups: "Sequence[FailureGroup]", n_runs: int, study: str, store: "Store") -> None:
    """The failed ones among ``n_runs`` of a study; nothing where there are none."""
    from ablate.record.commands import here

    if not groups:
        return
    print()
    _say_total("", sum(len(group.runs) for group in groups), n_runs, "")
    for group in groups[:SHOWN_GROUPS]:
        _print_group(group, TAIL, SHOWN_CONDITIONS)
    if len(groups) > SHOWN_GROUPS:
        say(f"  and {len(groups) - SHOWN_GROUPS} more that failed otherwise")
    if store.bundle is not None:
        _say_import(store.bundle)
        return
    more = here(store, f"ablate failures {shlex.quote(study)}")
    say_command(more, before="More of their logs, and how to train each again:")
    say("Failed runs are trained again only with --retry.")


def _say_total(before: str, n_failed: int, n_runs: int, where: str) -> None:
    failed = f"{n_failed} of {n_runs} runs failed{where}" if n_failed else f"no run failed{where}"
    say(f"{before}: {failed}" if before else f"{failed}:")


def _print_group(group: "FailureGroup", n_lines: int, most: int) -> None:
    from ablate.ground.wording import count, some
    from ablate.record.failures import members, without_marks

    n = len(group.runs)
    place = f", at {group.where}" if group.where else ""
    alike = "" if n == 1 else "the same in " if group.is_same_everywhere else "alike in "
    say(f"  {group.kind.words}, {alike}{count(n, 'run')}{place}:", hang=4)
    say(f"    {group.message}", hang=6)
    say(f"    {some([f'{name} {seeds}' for name, seeds in members(group.runs).items()], most)}", hang=6)
    folder = group.last.folder
    lines = without_marks(folder.log_tail(2 * n_lines))[-n_lines:] if n_lines else []
    if lines:
        say(f"    log: {folder.log_file}", hang=9)
    for line in lines:
        say(f"    | {line}", hang=8)


def _say_import(bundle: "Path") -> None:
    from ablate.record.store import importing

    say_command(importing(bundle), before="To train them again, put it into a store:")


def _print_retry(store: "Store", study: str, group: "FailureGroup") -> None:
    """The command, or the commands, that train runs of such a failure again."""
    from ablate.record.commands import retrying

    commands = retrying(store, study, [group.kind])
    if not commands:
        say("    trained elsewhere: import them again when they have been")
        return
    say("    train again:" if len(commands) == 1 else "    train again, by what planned the study:")
    for command in commands:
        say_command(f"    {command}")
