"""An MLflow server, spoken to by its REST API (https://mlflow.org/docs/latest/api_reference/rest-api.html).

MLflow's own client takes two seconds to import, and hides what a server has answered.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_environ_proxies

from ablate.tracking import credentials as log_in
from ablate.tracking import troubles
from ablate.tracking.address import without_password
from ablate.tracking.connection import DOUBLES, Connection, Shown, marked
from ablate.tracking.credentials import Credentials
from ablate.tracking.database import Listed
from ablate.tracking.owner import STUDY_TAG
from ablate.tracking.problems import ServerTrouble, Trouble
from ablate.tracking.projection import Point

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
REFUSAL = "INVALID_PARAMETER_VALUE"
PROXIED = "mlflow-artifacts"  # the scheme of files that the server takes

CONNECTIONS = 10  # that stay open
PAGE = 100  # runs of one answer: a megabyte, for which a server takes a third of a second
MOST_EXPERIMENTS = 1000
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
TIMEOUT_S = 5.0

_Outcome = TypeVar("_Outcome")


class Server(Connection):
    """One server, of which several threads can ask at once. What it does not do raises ServerTrouble."""

    failures = (OSError,)  # ServerTrouble is one, as is a file that cannot be read

    def __init__(self, uri: str) -> None:
        self.address = without_password(uri).rstrip("/")
        self.credentials = Credentials.of(uri)
        self._session = _session(self.address, self.credentials)
        self._one_dataset = threading.Lock()  # the server fails when two runs bring it the same new one

    @classmethod
    def open(cls, uri: str) -> "Server":
        return cls(uri)

    @staticmethod
    def is_refusal(error: Exception) -> bool:
        return isinstance(error, ServerTrouble) and error.code == REFUSAL

    def health(self) -> str:
        """What it says of its health, which it tells everybody."""
        return self._send("GET", f"{self.address}/health").text.strip()

    def version(self) -> str:
        return self._send("GET", f"{self.address}/version").text.strip()

    def experiments_marked(self, study: str) -> list[Listed]:
        asked = {
            "filter": f"tags.`{STUDY_TAG}` = '{study}'",
            "view_type": "ALL",
            "max_results": MOST_EXPERIMENTS,
        }
        return _read(_all_listed, self._post("experiments/search", asked))

    def experiment_named(self, name: str) -> Listed | None:
        try:
            answer = self._get("experiments/get-by-name", {"experiment_name": name})
        except ServerTrouble as error:
            if error.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return _read(_listed, _part(answer, "experiment"))

    def create_experiment(self, name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
        asked = {"name": name, "tags": _pairs(tags)}
        if artifacts is not None:
            asked["artifact_location"] = artifacts
        return str(_part(self._post("experiments/create", asked), "experiment_id"))

    def restore_experiment(self, experiment: str) -> None:
        self._post("experiments/restore", {"experiment_id": experiment})

    def delete_experiment(self, experiment: str) -> None:
        self._post("experiments/delete", {"experiment_id": experiment})

    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._post(
                "experiments/set-experiment-tag", {"experiment_id": experiment, "key": name, "value": value}
            )

    def has_runs(self, experiment: str) -> bool:
        asked = {"experiment_ids": [experiment], "run_view_type": "ALL", "max_results": 1}
        return bool(self._post("runs/search", asked).get("runs"))

    def everything(self, experiment: str) -> Iterator[Shown]:
        asked: dict[str, Any] = {"experiment_ids": [experiment], "max_results": PAGE}
        while True:
            answer = self._post("runs/search", asked)
            yield from _read(_all_shown, answer)
            if not answer.get("next_page_token"):
                return
            asked["page_token"] = answer["next_page_token"]

    def find(self, experiment: str, run_id: str) -> list[Shown]:
        asked = {
            "experiment_ids": [experiment],
            "filter": marked(run_id),
            "max_results": DOUBLES,
            "order_by": ["attributes.start_time ASC"],
        }
        return _read(_all_shown, self._post("runs/search", asked))

    def create(self, experiment: str, name: str, tags: Mapping[str, str], start_ms: int) -> Shown:
        asked = {
            "experiment_id": experiment,
            "run_name": name,
            "user_id": tags.get("mlflow.user", "unknown"),
            "start_time": start_ms,
            "tags": _pairs(tags),
        }
        return _read(_shown, _part(self._post("runs/create", asked), "run"))

    def knows(self, mlflow_run_id: str) -> bool:
        try:
            self._get("runs/get", {"run_id": mlflow_run_id})
        except ServerTrouble as error:
            if error.code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def log_batch(
        self,
        mlflow_run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        asked = {
            "run_id": mlflow_run_id,
            "metrics": [_metric(point) for point in points],
            "params": _pairs(params),
            "tags": _pairs(tags),
        }
        self._post("runs/log-batch", asked)

    def log_dataset(self, mlflow_run_id: str, name: str, digest: str, path: Path) -> None:
        dataset = {
            "name": name,
            "digest": digest,
            "source_type": "local",
            "source": json.dumps({"uri": str(path)}),
        }
        tags = _pairs({"mlflow.data.context": "training"})
        with self._one_dataset:
            self._post(
                "runs/log-inputs", {"run_id": mlflow_run_id, "datasets": [{"dataset": dataset, "tags": tags}]}
            )

    def upload(self, shown: Shown, files: Sequence[Path]) -> None:
        place = self._place(shown.location)
        if place is None:
            self._by_ourselves(shown, lambda client: client.upload(shown, files))
            return
        for file in files:
            self._put(f"{place}/{quote(file.name)}", file)

    def download(self, shown: Shown, name: str) -> bytes:
        place = self._place(shown.location)
        if place is None:
            return self._by_ourselves(shown, lambda client: client.download(shown, name))
        return self._send("GET", f"{place}/{quote(name)}").content

    def remove(self, shown: Shown, name: str) -> None:
        place = self._place(shown.location)
        if place is None:
            self._by_ourselves(shown, lambda client: client.remove(shown, name))
        else:
            self._send("DELETE", f"{place}/{quote(name)}")

    def delete_tag(self, mlflow_run_id: str, name: str) -> None:
        self._post("runs/delete-tag", {"run_id": mlflow_run_id, "key": name})

    def delete(self, mlflow_run_id: str) -> None:
        self._post("runs/delete", {"run_id": mlflow_run_id})

    def set_status(self, mlflow_run_id: str, status: str, ended_ms: int | None) -> None:
        asked: dict[str, Any] = {"run_id": mlflow_run_id, "status": status}
        if ended_ms is not None:
            asked["end_time"] = ended_ms
        self._post("runs/update", asked)

    def _place(self, location: str) -> str | None:
        """Where the server takes the files of ``location``; None when its clients write them themselves."""
        parts = urlsplit(location)
        if parts.scheme != PROXIED:
            return None
        own = urlsplit(self.address)
        host = f"{own.scheme}://{parts.netloc}" if parts.netloc else self.address
        return f"{host}{FILES}/{quote(parts.path.strip('/'))}"

    def _put(self, url: str, file: Path) -> None:
        """A server of MLflow answers that it has a file with nothing, or with an empty object."""
        with file.open("rb") as handle:
            said = self._send("PUT", url, data=handle).text.strip()
        if said not in ("", "{}"):
            raise ServerTrouble(troubles.of_page())

    def _by_ourselves(self, shown: Shown, act: Callable[[Connection], _Outcome]) -> _Outcome:
        """With files that the server does not take: by MLflow's own client, which knows all stores."""
        from ablate.tracking.client import Client

        root = _local_root(shown)
        if root is not None and not (root.is_dir() or self._is_here()):  # it would be made where none looks
            raise ServerTrouble(troubles.not_proxied(shown.location))
        try:
            return act(Client.open(self.address))
        except Client.failures as error:
            raise ServerTrouble(troubles.not_proxied(shown.location)) from error

    def _is_here(self) -> bool:
        """Whether the server runs on this machine, as far as its address tells."""
        host = urlsplit(self.address).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def _get(self, path: str, asked: Mapping[str, str]) -> dict[str, Any]:
        return self._ask("GET", f"{self.address}{API}/{path}", params=asked)

    def _post(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", f"{self.address}{API}/{path}", json=asked)

    def _ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        """What the server answers, which is an object."""
        answer = self._send(method, url, **content)
        try:
            said = answer.json()
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise ServerTrouble(troubles.of_page(), answer.status_code)
        return said

    def _send(self, method: str, url: str, **content: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method, url, timeout=_patience_s(), allow_redirects=False, **content
            )
        except requests.RequestException as error:
            raise ServerTrouble(troubles.of_silence(error)) from error
        if answer.status_code != 200:
            raise self._trouble(answer)
        return answer

    def _trouble(self, answer: requests.Response) -> ServerTrouble:
        status, text = answer.status_code, answer.headers.get("Location") or answer.text
        code = ""
        try:
            said = json.loads(text)
            code, text = said.get("error_code", ""), said.get("message") or said.get("detail") or text
        except (ValueError, AttributeError):
            pass
        trouble = (
            Trouble(text.splitlines()[0])
            if code == REFUSAL
            else troubles.of_answer(self.address, self.credentials, status, text)
        )
        return ServerTrouble(trouble, status, code)


def _session(address: str, credentials: Credentials) -> requests.Session:
    """Connections that stay open: a run takes a dozen requests."""
    session = requests.Session()
    # Otherwise requests looks through the environment each time, for a millisecond; and it would log in by
    # what another program has left in a file for the host.
    session.trust_env = False
    session.proxies = dict(get_environ_proxies(address))
    session.verify = log_in.verification()
    session.cert = os.environ.get(log_in.CLIENT_CERTIFICATE) or None
    if credentials.token is not None:
        session.headers["Authorization"] = f"Bearer {credentials.token}"
    elif credentials.user is not None and credentials.password is not None:
        session.auth = HTTPBasicAuth(credentials.user.encode(), credentials.password.encode())
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0))
    return session


def _patience_s() -> float:
    try:
        return float(os.environ[TIMEOUT])
    except (KeyError, ValueError):
        return TIMEOUT_S


def _local_root(shown: Shown) -> Path | None:
    """The folder in which the server has made its experiments' folders; None when they are in no folder."""
    parts = urlsplit(shown.location)
    return Path(parts.path).parents[2] if parts.scheme in ("", "file") else None


def _part(answer: Mapping[str, Any], name: str) -> Any:
    if name not in answer:
        raise ServerTrouble(troubles.of_page())
    return answer[name]


def _read(read: Callable[[Any], _Outcome], said: Any) -> _Outcome:
    """What the server has said. Raises ServerTrouble for what no server of MLflow says."""
    try:
        return read(said)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ServerTrouble(troubles.of_page()) from error


def _pairs(content: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in content.items()]


def _metric(point: Point) -> dict[str, Any]:
    value = point.value if point.value == point.value else "NaN"  # JSON has no such number
    return {"key": point.key, "value": value, "timestamp": point.timestamp_ms, "step": point.step}


def _all_listed(answer: Mapping[str, Any]) -> list[Listed]:
    return [_listed(found) for found in answer.get("experiments", [])]


def _all_shown(answer: Mapping[str, Any]) -> list[Shown]:
    return [_shown(found) for found in answer.get("runs", [])]


def _listed(content: Mapping[str, Any]) -> Listed:
    return Listed(
        str(content["experiment_id"]),
        content["name"],
        content.get("artifact_location", ""),
        content.get("lifecycle_stage") != "deleted",
        _mapping(content.get("tags", [])),
        int(content.get("creation_time", 0)),
    )


def _shown(content: Mapping[str, Any]) -> Shown:
    info, data = content["info"], content.get("data", {})
    inputs = content.get("inputs", {}).get("dataset_inputs", [])
    return Shown(
        info["run_id"],
        info["status"],
        int(info.get("start_time", 0)),
        info["artifact_uri"],
        _mapping(data.get("params", [])),
        _mapping(data.get("tags", [])),
        {each["key"]: (int(each.get("step", 0)), float(each["value"])) for each in data.get("metrics", [])},
        tuple(each["dataset"]["digest"] for each in inputs),
    )


def _mapping(pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}
