"""``ablate ui``: browse a store with MLflow's web interface."""

import signal
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import StoreOption, StudyOption, open_store, pick_study
from ablate.ground.errors import StoreError

if TYPE_CHECKING:
    from ablate.record.store import Store

EVERYWHERE = ("0.0.0.0", "::")


def ui(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="The study to link to; without it, all.")
    ] = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port; the next free one when it is taken.")
    ] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser as well.")] = False,
) -> None:
    """Browse the results in MLflow's web interface, until Ctrl-C."""
    from ablate.tracking.address import VARIABLE, is_database, tracking_uri, without_password

    opened = open_store(store)
    uri = tracking_uri(opened)
    asked = pick_study(opened, study, study_option) if study or study_option else None
    if is_database(uri):
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            links = [(name, page) for study, name, page in _links(uri) if asked in (None, study)]
            _serve(_mended(opened, uri, Path(folder)), opened.artifacts, host, port, links, open_browser)
        return
    page = without_password(uri)
    typer.echo(page)
    typer.echo(f"{VARIABLE} names this server, so none is started here.")
    if open_browser:
        webbrowser.open(page)


def _serve(
    uri: str, artifacts: Path, host: str, port: int, links: list[tuple[str, str]], open_browser: bool
) -> None:
    from ablate.tracking.server import ended, free_port, server, wait_until_up

    chosen = free_port(host, port)
    if chosen != port:
        typer.echo(f"port {port} is taken, using {chosen}")
    url = f"http://{'127.0.0.1' if host in EVERYWHERE else host}:{chosen}"
    typer.echo(url)
    for name, path in links:
        typer.echo(f"  {name}: {url}{path}")
    if host in EVERYWHERE:
        typer.echo("Everyone who can reach this machine can now read and change the results.")
    with _interruptible(), tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        log = Path(folder) / "server.log"
        try:
            with server(uri, artifacts, host, chosen, log) as child:
                wait_until_up(child, url, log)
                typer.echo("ready; Ctrl-C stops it")
                if open_browser:
                    webbrowser.open(url + (links[0][1] if links else ""))
                child.wait()
                raise ended(child, log)
        except KeyboardInterrupt:
            typer.echo("stopped")


def _links(uri: str) -> list[tuple[str, str, str]]:
    """Each study, what its experiment is called, and where that is shown.

    Raises StoreError when there is nothing to show.
    """
    from ablate.tracking.database import experiments, require_mlflow_database, sqlite_file
    from ablate.tracking.owner import study_of
    from ablate.tracking.views import page

    file = sqlite_file(uri)
    if file is None:  # a database server; its content is not ours to list
        return []
    if not file.exists():
        raise StoreError(
            f"{file} does not exist: no run of this store was tracked yet; start with `ablate grid`, "
            "or name another store with --store DIR"
        )
    require_mlflow_database(file)
    return [
        (study_of(found.tags, found.name), found.name, page(found.identifier))
        for found in experiments(uri)
        if found.is_active and found.name != "Default"
    ]


def _mended(store: "Store", uri: str, folder: Path) -> str:
    """The database to show, in which the addresses are those of the store's present place."""
    from ablate.tracking.moves import mended

    shown = mended(store, uri, folder)
    if shown != uri:
        typer.echo(
            f"The store was moved or copied here and {uri} cannot be written, so a copy of it is shown: "
            "changes are lost."
        )
    return shown


@contextmanager
def _interruptible() -> Iterator[None]:
    """A closed terminal or a service manager's request ends the block as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
