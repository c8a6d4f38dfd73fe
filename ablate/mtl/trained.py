"""A finished run as a command's user names it, for what its network is then used for."""

from dataclasses import dataclass
from pathlib import Path

from ablate.analysis.inspect import Found, find_run, title
from ablate.ground.errors import StudyError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import NAME, subject
from ablate.mtl.kept import Network, read_network
from ablate.mtl.scoring import WEIGHTS
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.settings import Settings


@dataclass(frozen=True)
class Trained:
    """A run, its network, its weights, and where the data are that it was trained on."""

    found: Found
    network: Network
    weights: Path
    data: Path

    @property
    def title(self) -> str:
        return title(self.found)


def trained(store: Store, asked: str, study: str | None, purpose: str) -> Trained:
    """The run that ``find_run`` finds; ``purpose`` is what it is wanted for, such as "predict on files".

    Raises StudyError when it is another subject's or has not finished, DataError when nothing tells any more
    how its network hears.
    """
    found = find_run(store, asked, study)
    record = found.record
    if record.subject.name != NAME or record.subject.spec.get("kind") != "built-in":
        raise StudyError(
            f"run {title(found)} is of the subject '{record.subject.name}', and only networks of the "
            f"built-in subject can {purpose}"
        )
    if record.state is not State.FINISHED:
        cause = f" ({record.cause})" if record.cause else ""
        raise StudyError(
            f"run {title(found)} is {record.state}{cause}; only a finished run has a network to {purpose}"
        )
    config = subject.configure(Settings(record.config))
    assert isinstance(config, RunConfig)
    dataset = found.folder.run().dataset
    data = store.locate(dataset)
    network = read_network(found.folder.path, config, dataset, data)
    return Trained(found, network, found.folder.path / WEIGHTS, data)
