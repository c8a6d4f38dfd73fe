"""Makes MLflow show what the run folders hold.

Shipping is a reconciliation: read what MLflow shows of a run, and add what is missing. It can therefore be
cut off anywhere and done again, and each (metric, step) is there once. What the folder notes in
``mlflow.json`` only saves a search: when it is lost, the run is found by its tag.
"""

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.ground.errors import StoreError
from ablate.ground.files import read_json, write_json
from ablate.ground.leases import lease
from ablate.record.rundir import RunFolder, State
from ablate.record.searches import Plan, SearchFolder, TrialNumbers, origin
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.tracking import projection
from ablate.tracking.address import as_noted, is_database, tracking_uri, without_password
from ablate.tracking.database import damaged, is_damage, require_mlflow_database, sqlite_file
from ablate.tracking.owner import Move, Owner
from ablate.tracking.problems import TrackingRefused, TrackingUnavailable, reason
from ablate.tracking.projection import REPORT, STATUS, report_tags
from ablate.tracking.reconcile import Record, find_one, reconcile
from ablate.tracking.views import decision_tags, experiment_tags

if TYPE_CHECKING:
    from ablate.tracking.client import Client

# Another controller on the same store holds the lease for a fraction of a second per run.
LEASE_PATIENCE_S = 20.0
MLFLOW_RUN_ID = "[0-9a-f]{32}"


@dataclass(frozen=True)
class Shipped:
    """How many runs MLflow lacked in full or in part, how many it showed already, how many have not begun."""

    sent: int
    current: int
    pending: int


class Tracker:
    """Ships the runs of one study to its MLflow experiment."""

    def __init__(self, store: Store, study: str, uri: str | None = None) -> None:
        self.study = study
        self.experiment = study  # what MLflow calls it, once that is known
        self.uri = tracking_uri(store) if uri is None else uri
        self._noted_uri = as_noted(store, self.uri)
        self._store = store
        self._connection: tuple[Client, str] | None = None
        self._moves: list[Move] = []
        self._known_card: Card | None = None
        self._trial_numbers = TrialNumbers(SearchFolder.of(store, study))
        self._origin = origin(store, study)

    def prepare(self) -> list[str]:
        """Create, migrate or mend the database and the experiment, before any worker starts.

        Returns what a user would otherwise wonder about in MLflow, a sentence each.

        Raises StoreError when the store cannot be written or its database is another program's,
        TrackingUnavailable when the server is away.
        """
        self._store.require_writable()
        with self._writing():
            self._connect()
        return [*map(_told, self._moves), *self._other_experiment()]

    def ship(self, folder: RunFolder) -> str | None:
        """Make MLflow show what the folder holds. Returns the MLflow run's id; None for a run not yet begun.

        Raises TrackingUnavailable within seconds when MLflow is away, StoreError for a damaged folder.
        """
        return self._ship(folder)[0]

    def is_current(self, folder: RunFolder) -> bool:
        """Whether MLflow shows all that the folder holds, as far as the folder's notes tell.

        Cheap: MLflow is not asked.
        """
        status = folder.status()
        if status.state is State.PENDING:
            return True
        if status.state is State.DAMAGED:  # as shipping it will tell
            return False
        noted = _notes(folder).get(self.study, {})
        known = [noted.get(key) for key in ("uri", "status", "attempt", "shipped_epochs")]
        try:
            return known == [self._noted_uri, STATUS[status.state], status.attempt, len(folder.history())]
        except StoreError:  # a damaged folder, as shipping it will tell
            return False

    def ship_all(self, folders: Iterable[RunFolder]) -> Shipped:
        """As ``ship`` for each folder; what is wrong with some is reported once the others are shipped.

        Raises TrackingUnavailable when two runs after one another cannot be shipped.
        """
        sent = current = pending = 0
        missed = False
        problems: list[str] = []
        for folder in folders:
            try:
                mlflow_run_id, changed = self._ship(folder)
            except TrackingUnavailable as error:
                if missed:
                    raise
                missed = True
                problems.append(f"run {folder.run_id}: {error}")
                continue
            except (StoreError, TrackingRefused) as error:
                problems += error.problems
                continue
            missed = False
            pending += mlflow_run_id is None
            sent += changed
            current += mlflow_run_id is not None and not changed
        if problems:
            raise StoreError(problems)
        return Shipped(sent, current, pending)

    def ship_report(self, file: Path) -> str:
        """Show a report in the experiment, in place of an earlier one. Returns the MLflow run's id.

        MLflow keeps files in runs only, so a run called "report" holds it. It has neither params nor metrics
        and is tagged ``ablate.kind = report``, so that no mean over runs includes it.

        Raises TrackingUnavailable within seconds when MLflow is away.
        """
        with self._writing():
            client, experiment = self._connect()
            shown = find_one(client, experiment, REPORT)
            if shown is None:
                shown = client.create(experiment, REPORT, report_tags(), _now_ms())
            client.upload_file(shown.mlflow_run_id, file)
            client.set_status(shown.mlflow_run_id, STATUS[State.FINISHED], _now_ms())
            return shown.mlflow_run_id

    def show_decision(self, digest: str, verdicts: Mapping[str, str]) -> None:
        """Tag the experiment with the plan's digest and the verdict on each claim, by the claim's id.

        Raises TrackingUnavailable within seconds when MLflow is away.
        """
        with self._writing():
            client, experiment = self._connect()
            client.tag_experiment(experiment, decision_tags(digest, verdicts))

    def _ship(self, folder: RunFolder) -> tuple[str | None, bool]:
        """The MLflow run's id, and whether anything had to be written."""
        if folder.status().state is State.PENDING:
            return None, False
        with self._writing():
            client, experiment = self._connect()
            notes = _notes(folder)
            noted = notes.get(self.study, {})
            known = str(noted.get("mlflow_run_id", "")) if noted.get("uri") == self._noted_uri else None
            record = Record.read(folder, self._card(), self._search_tags(folder.run_id))
            mlflow_run_id, changed = reconcile(client, experiment, record, known)
            if known not in (None, mlflow_run_id) and not client.knows(known):
                self._remove_artifacts(known)
            note = {
                "uri": self._noted_uri,
                "mlflow_run_id": mlflow_run_id,
                "status": STATUS[record.status.state],
                "attempt": record.status.attempt,
                "shipped_epochs": len(record.history),
            }
            if note != noted:
                for unfinished in folder.path.glob(f".{folder.mlflow_file.name}.*"):  # of a killed controller
                    unfinished.unlink(missing_ok=True)
                write_json(folder.mlflow_file, {**notes, self.study: note})
            return mlflow_run_id, changed

    def _card(self) -> Card:
        """What the study's record says of its subject."""
        if self._known_card is None:
            self._known_card = self._store.study_card(self.study)
        return self._known_card

    def _search_tags(self, run_id: str) -> dict[str, str]:
        """The number of the run's trial and its sampler; or the search that it trains the best of anew."""
        number = self._trial_numbers.of(run_id)
        if number is not None:
            return projection.search_tags(number, self._search_plan)
        return {} if self._origin is None else {projection.SEARCH_TAG: self._origin}

    @cached_property
    def _search_plan(self) -> Plan:
        return SearchFolder.of(self._store, self.study).plan()

    def _remove_artifacts(self, mlflow_run_id: str) -> None:
        """The files of an MLflow run whose database was deleted; nothing else would ever remove them."""
        if is_database(self.uri) and re.fullmatch(MLFLOW_RUN_ID, mlflow_run_id):
            shutil.rmtree(self._store.artifacts / self.study / mlflow_run_id, ignore_errors=True)

    def _connect(self) -> "tuple[Client, str]":
        """The client and the experiment's id; the store's files are where MLflow looks for them."""
        if self._connection is None:
            from ablate.tracking.client import Client

            file = sqlite_file(self.uri)
            if file is not None:
                require_mlflow_database(file)
            client = Client.open(self.uri)
            self._store.identify()
            self._mend()
            artifacts = (self._store.artifacts / self.study).resolve().as_uri()
            # A server decides itself where artifacts go.
            location = artifacts if is_database(self.uri) else None
            owner = Owner.of(self._store, self.uri)
            identifier, self.experiment = client.experiment(
                owner, self.study, location, experiment_tags(self._card())
            )
            self._connection = client, identifier
        else:
            self._mend()  # another host, which knows the store by another path, may have mended it for itself
        return self._connection

    def _mend(self) -> None:
        from ablate.tracking.moves import mend

        if is_database(self.uri):
            self._moves += mend(Owner.of(self._store, self.uri), self.uri)

    def _other_experiment(self) -> list[str]:
        """That the study has another name in MLflow, since somebody else has taken its own."""
        if self.experiment != Owner.of(self._store, self.uri).other_name(self.study):
            return []
        return [
            f"MLflow's experiment '{self.study}' at {without_password(self.uri)} is not of this store; "
            f"the study is shown in '{self.experiment}'"
        ]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the one writer, and turn whatever MLflow raises into an AblateError."""
        # Here and not above: importing mlflow takes seconds, which most commands need not spend.
        from ablate.tracking.client import FAILURES, is_refusal

        try:
            with lease(self._store.root / "mlflow.lock", LEASE_PATIENCE_S):
                yield
        except FAILURES as error:
            # Whoever answers next may be another database, without our experiment.
            self._connection = None
            file = sqlite_file(self.uri)
            if file is not None and is_damage(error):
                raise damaged(file, error) from error
            kind = TrackingRefused if is_refusal(error) else TrackingUnavailable
            raise kind(f"MLflow at {without_password(self.uri)}: {reason(error)}") from error


def _told(move: Move) -> str:
    return f"the store was moved or copied here from {move.old}; MLflow now looks for its files in {move.new}"


def _notes(folder: RunFolder) -> dict[str, Any]:
    """What ``mlflow.json`` says of each study; a lost or damaged file says nothing."""
    try:
        notes = read_json(folder.mlflow_file)
    except (OSError, ValueError):
        return {}
    if not isinstance(notes, dict):
        return {}
    return {study: note for study, note in notes.items() if isinstance(note, dict)}


def _now_ms() -> int:
    return round(1000 * time.time())
