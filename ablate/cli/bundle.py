"""``ablate bundle``: a study as one file, and the check of such a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, say, say_command
from ablate.cli.options import Printout, PrintoutOption, StoreOption, open_store
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def bundle(
    study: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="The study's name; without --check.")
    ] = None,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The file to write.")] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Check every byte of a bundle.")
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="With the files that trainings have returned, such as weights.")
    ] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="With what else runs have kept, such as scores of frames.")
    ] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Without the report, which takes long.")
    ] = False,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Write a study to one file, or check such a file.

    The file has the study's record, and each run's configuration, history, result and counts by item; never
    data. `ablate compare FILE` and others read it as it is, `ablate import FILE` puts it into a store.
    """
    if check is not None:
        if study is not None or file is not None:
            raise ConfigError("--check FILE names the file to check; leave out the other words")
        _check(check, output)
        return
    if study is None or file is None:
        raise ConfigError("name a study and the file to write: ablate bundle STUDY FILE.zip")
    _write(study, file, output, store, report=not no_report, weights=weights, scores=scores)


def _write(study: str, file: Path, output: Printout, store: Path | None, **parts: bool) -> None:
    from ablate.campaign import bundling
    from ablate.ground.wording import readable_bytes

    if file.is_dir() or not file.parent.is_dir():
        raise ConfigError(f"{file}: name a file in a folder that is there")
    done = bundling.bundle(open_store(store), study, file, **parts)
    if output is Printout.JSON:
        print_json(
            {
                "schema": "ablate.bundle-written/1",
                "study": study,
                "file": str(file),
                "bytes": done.n_bytes,
                "sha256": done.digest,
                "states": dict(done.states),
                "notes": list(done.notes),
            }
        )
        return
    say(f"Wrote {file}: study {study}, {_runs(done.states)}; {readable_bytes(done.n_bytes)}.")
    say(f"SHA-256 {done.digest}")
    for note in done.notes:
        say(f"Note: {note}.")
    say_command(f"ablate bundle --check {file}", before="Wherever it goes:")


def _check(file: Path, output: Printout) -> None:
    import hashlib

    from ablate.ground.wording import count, readable_bytes
    from ablate.record.opening import unpacked

    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    opened = unpacked(file)
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    manifest = opened.manifest
    if output is Printout.JSON:
        parts: dict[str, Any] = {name: value for name, value in manifest.items() if name != "schema"}
        print_json(
            {
                "schema": "ablate.bundle-checked/1",
                "file": str(file),
                "bytes": opened.n_bytes,
                "sha256": digest,
                **parts,
            }
        )
        return
    n_files = count(len(manifest["files"]), "file")
    say(f"{file} is whole: study {opened.study}, {_runs(manifest['states'])}.")
    say(f"{n_files} as they were written, by ablate {manifest['ablate']}; {readable_bytes(opened.n_bytes)}.")
    say(f"SHA-256 {digest}")
    for note in manifest["notes"]:
        say(f"Note: {note}.")
    say_command(f"ablate compare {file}", before="Next:")


def _runs(states: "Mapping[str, int]") -> str:
    from ablate.ground.wording import count

    told = ", ".join(f"{n} {state}" for state, n in states.items())
    return f"{count(sum(states.values()), 'run')} ({told})"
