"""Options of searches and clusters, and what Slurm and MLflow's servers answer, in every awkward form."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.space import make_space, parse_ranges
from ablate.design.study import parse_levels
from ablate.ground.errors import ConfigError, StoreError
from ablate.launch import slurmcommands
from ablate.launch.ray_cluster import LOCAL_HOSTS, _located
from ablate.launch.slurmcommands import as_words, jobs_of, minutes, parse_options, workers_of
from ablate.tracking.problems import ServerTrouble
from ablate.tracking.rest import Server
from tests.campaign.test_searching import SUBJECT
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated, numbers, texts

ends = st.sampled_from(
    ("0.1", "10", "0", "-1", "1e400", "nan", "1_0", "٣", "0x1", "", " 1 ", "+.5", "1e-400")
) | (numbers.map(str) | texts)
ranges = st.one_of(
    st.tuples(
        st.sampled_from(("strength", "lr", "kind", "epochs", "seed", "")) | texts,
        ends,
        ends,
        st.lists(st.sampled_from(("log", "int", "log:int", "x", "")), max_size=2),
    ).map(lambda parts: f"{parts[0]}={parts[1]}:{parts[2]}" + "".join(f":{word}" for word in parts[3])),
    texts,
)


@fuzzed(quick=100)
@given(
    typed=st.lists(ranges, max_size=3),
    factors=st.lists(st.sampled_from(("kind", "lr", "strength", "x")), max_size=2),
    levels=st.dictionaries(
        st.sampled_from(("lr", "kind", "epochs")), st.lists(texts, max_size=2), max_size=1
    ),
)
def test_ranges(typed: list[str], factors: list[str], levels: dict[str, list[str]]) -> None:
    with case("--range"):
        space = make_space(SUBJECT.default, SUBJECT.known_factors, factors, levels, parse_ranges(typed))
        for dimension in space.dimensions:
            assert all(map(dimension.contains, dimension.samples))
            str(dimension).encode("utf-8")
        json.dumps([dimension.to_json() for dimension in space.dimensions], allow_nan=False)


slurm_options = st.one_of(
    texts,
    st.lists(
        st.tuples(
            st.sampled_from(
                ("partition", "time", "nodes", "gres", "gpus-per-task", "array", "mem", "--qos", "A")
            ),
            texts | st.sampled_from(("gpu:2", "1", "4:00:00", "2-12", "1:2:3:4", "9" * 30)),
        ).map("=".join),
        max_size=3,
    ).map(",".join),
)


@fuzzed(quick=100)
@given(typed=st.lists(slurm_options, max_size=2))
def test_slurm_options(typed: list[str]) -> None:
    with case("--slurm"):
        found = parse_options(typed)
        device, n = workers_of(found)
        assert device in ("cpu", "cuda")
        assert n >= 0
        minutes(found.get("time") or "")
        assert all(word.startswith("--") for word in as_words(found))


SQUEUE = b"12_0|RUNNING|None|n1\n12_1|PENDING|Resources|\n13_[2-5]|PENDING|(JobArrayTaskLimit)|\n"


@fuzzed(quick=60)
@given(said=mutated([SQUEUE]))
def test_what_squeue_says(said: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch, case("answers of squeue"):
        patch.setattr(slurmcommands, "_run", lambda *_: said.decode(errors="replace"))
        for job in jobs_of("ablate"):
            assert job.state in slurmcommands.STATES
            assert isinstance(job.runs + job.waits, int)


addresses = st.one_of(
    texts,
    st.tuples(
        st.sampled_from((*LOCAL_HOSTS, "[::1]", "localhost:1", "ray://127.0.0.1", "127.0.0.1/x", "")),
        st.sampled_from(("1", "0", "65536", "-1", "x", "٣", "9" * 30, "")),
    ).map(":".join),
).filter(lambda text: text != "auto")


@fuzzed(quick=60)
@given(address=addresses)
def test_addresses_of_ray(address: str) -> None:
    with case("--address"):
        _located(address)


RUN = {
    "info": {"run_id": "a", "status": "FINISHED", "start_time": "1", "artifact_uri": "mlflow-artifacts:/1/a"},
    "data": {
        "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "ablate.run_id", "value": "b"}],
        "metrics": [{"key": "f", "value": 0.5, "timestamp": 1, "step": "1"}],
    },
    "inputs": {"dataset_inputs": [{"dataset": {"digest": "1", "name": "d"}, "tags": []}]},
}
EXPERIMENT = {
    "experiment_id": "1",
    "name": "s",
    "artifact_location": "x",
    "lifecycle_stage": "active",
    "tags": [{"key": "a", "value": "b"}],
    "creation_time": 1,
}
ANSWER = {
    "runs": [RUN],
    "run": RUN,
    "experiments": [EXPERIMENT],
    "experiment": EXPERIMENT,
    "experiment_id": "1",
}


class Answers:
    """In place of a server's connection: answers anything with the same."""

    def __init__(self, content: bytes, status: int) -> None:
        import requests

        self.answer = requests.Response()
        self.answer.status_code = status
        self.answer._content = content
        self.answer.headers["Content-Type"] = "application/json"

    def request(self, *_: object, **__: object) -> Any:
        return self.answer


@fuzzed(quick=60)
@given(
    content=mutated([json.dumps(ANSWER).encode()])
    | changed(ANSWER).map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from((200, 200, 200, 200, 400, 404, 500, 302, 401)),
)
def test_what_servers_answer(content: bytes, status: int) -> None:
    server = Server("http://127.0.0.1:5000")
    server._session = Answers(content, status)  # type: ignore[assignment]
    asked = (
        lambda: server.experiments_marked("s"),
        lambda: server.experiment_named("s"),
        lambda: server.create_experiment("s", None, {}),
        lambda: server.has_runs("1"),
        lambda: [*zip(range(3), server.everything("1"), strict=False)],
        lambda: server.find("1", "a"),
        lambda: server.create("1", "n", {}, 0),
        lambda: server.knows("a"),
    )
    with case("answers of MLflow"):
        troubles = [trouble for ask in asked if (trouble := trouble_of(ask)) is not None]
        if len(troubles) == len(asked):
            raise StoreError([str(trouble) for trouble in troubles])


def trouble_of(ask: Callable[[], object]) -> ServerTrouble | None:
    try:
        ask()
    except ServerTrouble as trouble:
        return trouble
    return None


@pytest.mark.parametrize(
    ("typed", "sentence"), [(["lr=inf"], "lr = 'inf'"), (["lr=0.1,1e999"], "lr = '1e999'")]
)
def test_levels_are_finite(typed: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"{sentence}: input should be a finite number"):
        make_space(SUBJECT.default, SUBJECT.known_factors, [], parse_levels(typed), {})


def test_levels_are_what_a_record_can_hold() -> None:
    with pytest.raises(ConfigError, match=r"kind = '\\udcff': not text that can be written"):
        make_space(SUBJECT.default, SUBJECT.known_factors, [], parse_levels(["kind=plain,\udcff"]), {})
    with pytest.raises(ConfigError, match=r"epochs = 9{10,}.*: a setting is at most 1e\+30"):
        make_space(SUBJECT.default, SUBJECT.known_factors, [], parse_levels(["epochs=1," + "9" * 31]), {})


def test_a_time_limit_of_thousands_of_digits_is_none() -> None:
    with pytest.raises(ConfigError, match="write minutes, H:MM:SS"):
        parse_options(["time=" + "9" * 5000])


def test_a_number_of_thousands_of_digits_is_none() -> None:
    assert workers_of(parse_options(["gpus-per-task=" + "9" * 5000])) == ("cuda", 1)


def test_a_host_that_can_have_no_such_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no Ray cluster answers there .no host has such a name"):
        _located("\x80:1")
