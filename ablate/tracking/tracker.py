"""Makes MLflow show what the run folders hold.

Shipping is a reconciliation: read what MLflow shows of a run, and add what is missing. It can therefore be
cut off anywhere and done again, and each (metric, step) is there once. What the folder notes in
``mlflow.json`` only saves a search: when it is lost, the run is found by its tag.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.ground.errors import AblateError, StoreError
from ablate.ground.files import make_folder, sweep, write_json
from ablate.ground.leases import lease
from ablate.ground.threads import at_once
from ablate.record.index import Index
from ablate.record.rundir import RunFolder, State
from ablate.record.searches import Plan, SearchFolder, TrialNumbers, origin
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.tracking import projection, unchanged
from ablate.tracking.address import as_noted, is_database, is_server, tracking_uri, without_password
from ablate.tracking.baselines import Baselines
from ablate.tracking.database import damaged, is_damage, require_mlflow_database, sqlite_file
from ablate.tracking.owner import Move, Owner
from ablate.tracking.problems import TrackingRefused, TrackingUnavailable, reason
from ablate.tracking.projection import REPORT, RUN_ID_TAG, STATUS, report_tags
from ablate.tracking.reconcile import Record, find_one, reconcile, shows_all
from ablate.tracking.studies import describe_study
from ablate.tracking.summary import Summary
from ablate.tracking.views import decision_tags, experiment_tags

if TYPE_CHECKING:
    from ablate.tracking.connection import Connection, Shown

# Another controller on the same store holds the lease for a second or two, and pauses before the next time.
LEASE_PATIENCE_S = 20.0
PAUSE_S = 0.05
MLFLOW_RUN_ID = "[0-9a-f]{32}"

AT_ONCE = 4  # runs on their way to a server together; a database has one writer
TOGETHER = 4  # times as many under one lease


@dataclass(frozen=True)
class Shipped:
    """How many runs MLflow lacked in full or in part, how many it showed already, how many have not begun."""

    sent: int
    current: int
    pending: int


@dataclass(frozen=True)
class Sent:
    """What became of one run: which MLflow run shows it, None for one not yet begun; was anything written?"""

    mlflow_run_id: str | None
    changed: bool


class Tracker:
    """Ships the runs of one study to its MLflow experiment."""

    def __init__(self, store: Store, study: str, uri: str | None = None) -> None:
        self.study = study
        self.experiment = study  # what MLflow calls it, once that is known
        self.uri = tracking_uri(store) if uri is None else uri
        self._noted_uri = as_noted(store, self.uri)
        self._store = store
        self.at_once = AT_ONCE if is_server(self.uri) else 1
        self._connection: tuple[Connection, str] | None = None
        self._moves: list[Move] = []
        self._known_card: Card | None = None
        self._trial_numbers = TrialNumbers(SearchFolder.of(store, study))
        self._origin = origin(store, study)
        self._baselines = Baselines(store, study)

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
        (outcome,) = self.ship_together([folder])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.mlflow_run_id

    def ship_together(self, folders: Sequence[RunFolder]) -> list[Sent | Exception]:
        """As ``ship`` for each, with ``at_once`` of them on their way to a server.

        What goes wrong with one is in its place. Raises TrackingUnavailable for what is wrong with all.
        """
        if not any(map(_has_begun, folders)):
            return [Sent(None, False)] * len(folders)
        with self._writing():
            client, experiment = self._connect()
            missed: list[Exception] = []

            def send(folder: RunFolder) -> Sent | Exception:
                if len(missed) >= self.at_once > 1:  # the server is silent, and the lease is not ours alone
                    return missed[-1]
                try:
                    return self._send(client, experiment, folder)
                except Exception as error:
                    told = self._as_told(error) or error
                    if isinstance(told, TrackingUnavailable):
                        missed.append(told)
                    return told

            return at_once(send, folders, self.at_once, "mlflow")

    def is_current(self, folder: RunFolder) -> bool:
        """Whether MLflow shows all that the folder holds, as far as the folder's notes tell.

        Cheap: MLflow is not asked.
        """
        try:
            status = folder.status()
            if status.state is State.PENDING:
                return True
            if status.state is State.DAMAGED:
                return False
            noted = folder.mlflow_notes().get(self.study, {})
            known = [noted.get(key) for key in ("uri", "status", "attempt", "shipped_epochs")]
            return known == [self._noted_uri, STATUS[status.state], status.attempt, len(folder.history())]
        except StoreError:  # a damaged folder, as shipping it will tell
            return False

    def as_before(self, folders: Sequence[RunFolder]) -> Shipped | None:
        """What ``ship_all`` has found, if neither the study nor MLflow's file has changed since; else None.

        Cheap: MLflow is not even imported.
        """
        seen = unchanged.look(self._store, self.study, self.uri, folders)
        known = None if seen is None else unchanged.counts(self._store, self.study, seen)
        return None if known is None else Shipped(0, *known)

    def ship_all(self, folders: Iterable[RunFolder]) -> Shipped:
        """As ``ship`` for each folder; what is wrong with some is reported once the others are shipped.

        Raises TrackingUnavailable when two runs after one another cannot be shipped.
        """
        folders = list(folders)
        before = unchanged.look(self._store, self.study, self.uri, folders)
        shipped = self._ship_all(folders)
        if before is not None and before.is_settled and not shipped.sent:
            self._note_unchanged(before, folders, shipped)
        return shipped

    def _note_unchanged(self, before: unchanged.Seen, folders: Sequence[RunFolder], shipped: Shipped) -> None:
        """Unless something has changed meanwhile, or can change without a trace, as when a worker dies."""
        index = Index.of(self._store, self.study)
        if self.experiment != self.study or any(
            index.status(folder).state is State.RUNNING for folder in folders
        ):
            return
        after = unchanged.look(self._store, self.study, self.uri, folders)
        if after is not None and after.digest == before.digest:
            unchanged.note(self._store, self.study, after, shipped.current, shipped.pending)

    def _ship_all(self, folders: Sequence[RunFolder]) -> Shipped:
        shown = self._shown_in_full(folders)
        missed = shown is None
        left = [folder for folder in folders if folder.run_id not in (shown or ())]
        sent = current = pending = 0
        problems: list[str] = []
        for folder, outcome in self._in_groups(left):
            if isinstance(outcome, TrackingUnavailable):
                if missed:
                    raise outcome
                missed = True
                problems.append(f"run {folder.run_id}: {outcome}")
                continue
            if isinstance(outcome, StoreError | TrackingRefused):
                problems += outcome.problems
                continue
            if isinstance(outcome, Exception):
                raise outcome
            missed = False
            pending += outcome.mlflow_run_id is None
            sent += outcome.changed
            current += outcome.mlflow_run_id is not None and not outcome.changed
        if problems:
            raise StoreError(problems)
        return Shipped(sent, current + len(folders) - len(left), pending)

    def _in_groups(self, folders: list[RunFolder]) -> Iterator[tuple[RunFolder, Sent | Exception]]:
        """Each folder with what became of it, sent in groups between which others may write."""
        size = self.at_once if self.at_once == 1 else TOGETHER * self.at_once
        for start in range(0, len(folders), size):
            if start and size > 1:
                time.sleep(PAUSE_S)
            group = folders[start : start + size]
            try:
                yield from zip(group, self.ship_together(group), strict=True)
            except (TrackingUnavailable, StoreError) as error:
                yield from ((folder, error) for folder in group)

    def _shown_in_full(self, folders: Sequence[RunFolder]) -> set[str] | None:
        """The ids of the runs that MLflow shows as they are, by one look at all that it holds of the study.

        Of a run that is there twice, or is not what the folder notes, nothing is said. None when MLflow did
        not let itself be looked at.
        """
        by_id = {folder.run_id: folder for folder in folders}
        n_found: dict[str, int] = {}
        complete = set()
        try:
            with self._writing():
                client, experiment = self._connect()
            with self._telling():
                for shown in client.everything(experiment):
                    run_id = shown.tags.get(RUN_ID_TAG, "")
                    n_found[run_id] = n_found.get(run_id, 0) + 1
                    if run_id in by_id and self._is_shown(by_id[run_id], shown):
                        complete.add(run_id)
        except TrackingUnavailable:
            return None
        return {run_id for run_id in complete if n_found[run_id] == 1}

    def _is_shown(self, folder: RunFolder, shown: "Shown") -> bool:
        """Whether an MLflow run is what the folder holds, and what its note says."""
        try:
            if not _has_begun(folder):
                return False
            record = self._read(folder)
        except StoreError:  # as shipping it will tell
            return False
        known = shown.mlflow_run_id
        noted = folder.mlflow_notes().get(self.study)
        return noted == self._note(record, known) and shows_all(shown, record, known)

    def ship_summary(self, summary: Summary) -> str:
        """Show a study's summary in the experiment, in place of an earlier one. Returns the MLflow run's id.

        MLflow keeps files in runs only, so a run called "report" holds it. It has neither params nor metrics
        and is tagged ``ablate.kind = report``, so that no mean over runs includes it.

        Raises TrackingUnavailable within seconds when MLflow is away.
        """
        with self._writing(), tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            client, experiment = self._connect()
            shown = find_one(client, experiment, REPORT)
            if shown is None:
                shown = client.create(experiment, REPORT, report_tags(), _now_ms())
            client.upload(shown, summary.write(Path(folder)))
            for name in summary.outdated(shown.tags):
                client.remove(shown, name)
            client.log(shown.mlflow_run_id, [], {}, summary.tags(shown.tags))
            client.set_status(shown.mlflow_run_id, STATUS[State.FINISHED], _now_ms())
            return shown.mlflow_run_id

    def show_decision(self, digest: str, verdicts: Mapping[str, str]) -> None:
        """Tag the experiment with the plan's digest and the verdict on each claim, by the claim's id.

        Raises TrackingUnavailable within seconds when MLflow is away.
        """
        with self._writing():
            client, experiment = self._connect()
            client.tag_experiment(experiment, decision_tags(digest, verdicts))

    def _send(self, client: "Connection", experiment: str, folder: RunFolder) -> Sent:
        """Call it under the lease."""
        if folder.status().state is State.PENDING:
            return Sent(None, False)
        notes = folder.mlflow_notes()
        noted = notes.get(self.study, {})
        known = str(noted.get("mlflow_run_id", "")) if noted.get("uri") == self._noted_uri else None
        record = self._read(folder)
        mlflow_run_id, changed = reconcile(client, experiment, record, known)
        if known not in (None, mlflow_run_id) and not client.knows(known):
            self._remove_artifacts(known)
        note = self._note(record, mlflow_run_id)
        sweep(folder.mlflow_file)
        if note != noted:
            write_json(folder.mlflow_file, {**notes, self.study: note})
        return Sent(mlflow_run_id, changed)

    def _read(self, folder: RunFolder) -> Record:
        return Record.read(folder, self._card(), self._search_tags(folder.run_id), self._baselines)

    def _note(self, record: Record, mlflow_run_id: str) -> dict[str, Any]:
        """What the folder notes once MLflow shows the record."""
        return {
            "uri": self._noted_uri,
            "mlflow_run_id": mlflow_run_id,
            "status": STATUS[record.status.state],
            "attempt": record.status.attempt,
            "shipped_epochs": len(record.history),
        }

    def _card(self) -> Card:
        """What the study's record says of its subject."""
        if self._known_card is None:
            self._known_card = self._store.study_card(self.study)
        return self._known_card

    def _description(self) -> str:
        return describe_study(self._store, self.study, self._card())

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

    def _connect(self) -> "tuple[Connection, str]":
        """The client and the experiment's id; the store's files are where MLflow looks for them."""
        if self._connection is None:
            file = sqlite_file(self.uri)
            if file is not None:
                require_mlflow_database(file)
            client = self._kind().open(self.uri)
            self._store.identify()
            self._mend()
            artifacts = (self._store.artifacts / self.study).resolve().as_uri()
            # A server decides itself where artifacts go.
            location = artifacts if is_database(self.uri) else None
            if location is not None:
                make_folder(self._store.artifacts / self.study)
            owner = Owner.of(self._store, self.uri)
            identifier, self.experiment = client.experiment(
                owner, self.study, location, experiment_tags(self._card(), self._description())
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
        with self._telling(), lease(self._store.root / "mlflow.lock", LEASE_PATIENCE_S):
            yield

    def _kind(self) -> "type[Connection]":
        from ablate.tracking.connection import kind_of

        return kind_of(self.uri)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._kind().failures as error:
            told = self._as_told(error)
            assert told is not None
            raise told from error

    def _as_told(self, error: Exception) -> AblateError | None:
        """What is said of something that MLflow has raised; None when it was not MLflow."""
        if not isinstance(error, self._kind().failures):
            return None
        # Whoever answers next may be another database, without our experiment.
        self._connection = None
        file = sqlite_file(self.uri)
        if file is not None and is_damage(error):
            return damaged(file, error)
        kind = TrackingRefused if self._kind().is_refusal(error) else TrackingUnavailable
        told = kind(f"MLflow at {without_password(self.uri)}: {reason(error)}")
        told.__cause__ = error
        return told


def _has_begun(folder: RunFolder) -> bool:
    try:
        return folder.status().state is not State.PENDING
    except StoreError:  # a damaged folder, as shipping it will tell
        return True


def _told(move: Move) -> str:
    return f"the store was moved or copied here from {move.old}; MLflow now looks for its files in {move.new}"


def _now_ms() -> int:
    return round(1000 * time.time())
