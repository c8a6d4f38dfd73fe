"""``ablate export``: a folder that gives the run's numbers where there is no ablate."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.export.code import MODULES, PACKAGE, write_package
from ablate.mtl.export.program import largest_deviation, save_program
from ablate.mtl.kept import Network
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.scoring import WEIGHTS
from ablate.record.store import Store
from tests.command import answer, output_of
from tests.mtl.data.folders import write_noise
from tests.mtl.trained import RUN

pytestmark = pytest.mark.usefixtures("one_thread")

THRESHOLD = 0.3

# What somebody does with the folder who has MLflow, torch and librosa, and no ablate.
ELSEWHERE = """
import json, sys
sys.modules["ablate"] = None  # whoever imports it fails
folder, file = sys.argv[1:]
import mlflow, pandas, soundfile
network = mlflow.pyfunc.load_model(folder)
found = network.predict(file, params={"threshold": 0.3})
samples, rate_hz = soundfile.read(file, dtype="float32")
in_memory = network.predict({"samples": samples, "sample_rate_hz": rate_hz}, params={"threshold": 0.3})
twice = network.predict([file, file], params={"threshold": 0.3})
table = network.predict(pandas.DataFrame({"path": [file]}), params={"threshold": 0.3})
default = network.predict(file)
names = [name for name in sys.modules if name.partition(".")[0] == "ablate" and sys.modules[name]]
print(json.dumps({
    "found": found.to_json(orient="split"),
    "in_memory": in_memory.to_json(orient="split"),
    "n_twice": len(twice),
    "n_table": len(table),
    "lowest": float(default[default.kind == "event"].probability.min()),
    "ablate": names,
}))
"""


@pytest.fixture(scope="module")
def exported(trained_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "network"
    output_of("export", RUN, folder, store=trained_store.root)
    return folder


def rows_of(text: str) -> pd.DataFrame:
    return pd.DataFrame(**json.loads(text))


def test_it_gives_the_numbers_of_the_run_in_a_process_without_ablate(
    exported: Path, trained_store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "a.wav"
    write_noise(file, 12.0, rate_hz=44_100, channels=2)
    words = [RUN, file, "--threshold", THRESHOLD, "--format", "csv"]
    (tmp_path / "ours.csv").write_text(output_of("predict", *words, store=trained_store.root))
    ours = pd.read_csv(tmp_path / "ours.csv")
    assert len(ours) > 6

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ELSEWHERE, str(exported), str(file)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=240
    )
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout.splitlines()[-1])
    theirs, in_memory = rows_of(content["found"]), rows_of(content["in_memory"])
    same = ["recording", "kind", "label", "onset_s", "offset_s"]
    pd.testing.assert_frame_equal(theirs[same], ours[same])
    assert np.abs(theirs["probability"] - ours["probability"]).max() < 1e-5
    pd.testing.assert_frame_equal(in_memory.drop(columns="recording"), theirs.drop(columns="recording"))
    assert (content["n_twice"], content["n_table"]) == (2 * len(ours), len(ours))
    assert content["lowest"] > 0.5  # the threshold that the run is scored with
    assert content["ablate"] == []


def test_its_code_imports_nothing_of_ablate(tmp_path: Path) -> None:
    package = write_package(tmp_path)
    texts = {file.name: file.read_text() for file in package.glob("*.py")}
    assert len(texts) == len(MODULES) + 1
    imported = [re.findall(r"^\s*(?:from|import) (ablate\S*)", text, re.MULTILINE) for text in texts.values()]
    modules = {f"{PACKAGE}.{name}" for name in MODULES.values()}
    assert {name for names in imported for name in names} <= modules


def test_the_program_is_the_network_of_torchs_own_layers_for_any_number_of_clips(
    exported: Path, trained_store: Store, tiny_data: Path
) -> None:
    file = exported / "data" / "network" / "network.pt2"
    program = torch.export.load(file).module()
    operations = {str(node.target) for node in torch.export.load(file).graph.nodes}
    assert {"aten.conv2d.default", "aten.batch_norm.default", "aten.gru.input"} <= operations
    (folder,) = trained_store.study_runs("tiny")
    data = open_prepared(tiny_data)
    assert data.hearing is not None
    config = RunConfig().override(folder.run().config.flat())
    network = Network(config, data.scenes, data.events, data.hearing, data.name, data.digest)
    assert largest_deviation(network, folder.path / WEIGHTS, file) < 1e-5
    for n_clips in (1, 5):
        with torch.inference_mode():
            found = program(torch.zeros(n_clips, 500, 64))
        assert found["scenes"].shape == (n_clips, 4)
        assert found["events"].shape == (n_clips, 500, 25)
        assert torch.allclose(found["scenes"].sum(dim=1), torch.ones(n_clips))


@pytest.mark.parametrize(("tasks", "branch"), [("scene", "scenes"), ("event", "events")])
def test_a_network_of_one_task_has_the_probabilities_of_that(
    tasks: str, branch: str, tiny_data: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    data = open_prepared(tiny_data)
    assert data.hearing is not None
    config = RunConfig().override({"tasks": tasks, "model.width": 1 / 32})
    scenes, events = (data.scenes, ()) if tasks == "scene" else ((), data.events)
    network = Network(config, scenes, events, data.hearing, "tiny", "0")
    save_file(Mtl(config, len(scenes), len(events)).state_dict(), tmp_path / WEIGHTS)
    save_program(network, tmp_path / WEIGHTS, tmp_path / "network.pt2")
    found = torch.export.load(tmp_path / "network.pt2").module()(torch.zeros(3, 500, 64))
    assert list(found) == [branch]
    assert largest_deviation(network, tmp_path / WEIGHTS, tmp_path / "network.pt2") < 1e-5


def test_the_card_says_what_it_is_and_how_good(exported: Path, trained_store: Store) -> None:
    text = (exported / "README.md").read_text()
    (folder,) = trained_store.study_runs("tiny")
    run, result = folder.run(), folder.result()
    assert result is not None
    score = f"{100 * result['metrics']['scene_micro_f']:.2f}"
    for part in (
        f"| trained on | tiny, digest {run.dataset.digest} |",
        f"| run | {run.run_id} (condition baseline, seed 0, study tiny) |",
        f"| scene micro F | {score} | {score} | none from one seed | 1 |",
        "| licence | unknown",
        "| `optim.epochs` | 2 |",
        "## Intended use and limits",
        "from 0 to 4000 Hz",
        f"| torch | {torch.__version__} |",
    ):
        assert part in text


def test_its_requirements_are_pinned(exported: Path) -> None:
    lines = (exported / "requirements.txt").read_text().split()
    names = [line.partition("==")[0] for line in lines]
    assert sorted(names) == sorted(["mlflow", "torch", "numpy", "scipy", "librosa", "soundfile", "pandas"])
    assert all(re.fullmatch(r"[a-z]+==[0-9.]+", line) for line in lines)


def test_nothing_of_somebody_elses_is_replaced(exported: Path, trained_store: Store, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        return answer("export", RUN, *words, store=trained_store.root, code=2)[1].strip()

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").touch()
    assert (
        refused(exported) == f"ablate: {exported}: holds an exported network already; replace it with --force"
    )
    for words in ([tmp_path / "own"], [tmp_path / "own", "--force"]):
        assert "holds something else than an exported network" in refused(*words)
    assert refused(tmp_path / "own" / "thesis.tex").endswith("is a file; name a folder")
    assert [file.name for file in (tmp_path / "own").iterdir()] == ["thesis.tex"]


def test_an_exported_network_is_replaced_when_asked(exported: Path, trained_store: Store) -> None:
    before = (exported / "MLmodel").stat().st_mtime_ns
    output = output_of("export", RUN, exported, "--force", store=trained_store.root)
    assert "data/network/network.pt2: the network as a torch.export program" in output
    assert re.search(r"differ from the run's by \d(e-\d\d)? at most", output)
    assert (exported / "MLmodel").stat().st_mtime_ns > before
    assert [file.name for file in exported.parent.iterdir()] == [exported.name]  # and nothing is left beside
