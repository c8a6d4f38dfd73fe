"""``ablate reproduce``, ``ablate bundle`` and ``ablate import FILE``, as a user types them."""

import json
import shutil
from pathlib import Path

import pytest

import ablate
from ablate.record.store import Store
from tests.command import SMALL, answer, output_of

MODULE = """
import ablate

class Config(ablate.Config):
    lr: float = 0.5

def train(config, run):
    x = 1.0
    for epoch in run.epochs(3):
        x -= config.lr * x / (2 + run.seed)
        run.report(loss=x)
    return ablate.Scores(score=x, files={"weights.txt": str(x).encode()})

subject = ablate.Subject("falls", Config, train, metrics=[ablate.Metric("score", best="min")])
"""
# The first training of a run of seed 1 notes that it was there, and any later one gives other numbers.
FICKLE = MODULE.replace("x = 1.0", "x = 1.0 if not (seen := FILE.exists()) else 1.5; FILE.touch()").replace(
    "import ablate\n", "from pathlib import Path\nimport ablate\nFILE = Path(__file__).parent / 'seen'\n", 1
)
DIFF = ["diff", "lr=0.25 seed=0", "baseline seed=0", "--study", "{}"]
SCRIPT = "import json, sys\nlr = float(sys.argv[1])\nprint(json.dumps({'score': lr / 3}))\n"


def planned(folder: Path, text: str, seeds: int = 2) -> Path:
    """A store with the finished runs of a module."""
    (folder / "mine.py").write_text(text)
    words = ["--subject", folder / "mine.py", "--levels", "lr=0.5,0.25", "--seeds", seeds, "--study", "mine"]
    answer("grid", *words, store=folder / "store")
    return folder / "store"


def test_a_run_of_a_module_gives_the_same_bits_and_is_not_touched(tmp_path: Path) -> None:
    store = planned(tmp_path, MODULE)
    before = {path: path.read_bytes() for path in (store / "runs").rglob("*") if path.is_file()}
    told = output_of("reproduce", "lr=0.25 seed=1", store=store)
    assert "Data, code, versions, processor and threads are as they were" in told
    assert "Curves: the same to the last digit in 3 epochs." in told
    assert "Files: all have the same bytes (1 compared)." in told
    assert told.endswith("It agrees: the same to the last digit.\n")
    assert {path: path.read_bytes() for path in (store / "runs").rglob("*") if path.is_file()} == before
    assert not list((store / "studies" / "mine").glob("reproduce-*"))


def test_other_numbers_are_exit_code_1_with_the_epoch_at_which_curves_part(tmp_path: Path) -> None:
    store = planned(tmp_path, FICKLE, seeds=1)
    told = output_of("reproduce", "baseline seed=0", store=store, code=1)
    # 1 - 0.5 / 2 = 0.75 at first, 1.5 * 0.75 then
    assert "they part in epoch 1, where loss is 1.125 and was 0.75" in told
    assert "It does not agree: the same bits were expected." in told
    found = json.loads(
        output_of("reproduce", "baseline seed=0", "--epochs", 1, "--format", "json", store=store, code=1)
    )
    assert (found["n_epochs"], found["parted"]["epoch"], found["scores"]) == (1, 1, [])


def test_changed_code_is_refused_unless_it_is_to_be_tried_anyway(tmp_path: Path) -> None:
    store = planned(tmp_path, MODULE)
    (tmp_path / "mine.py").write_text(MODULE + "# a remark\n")
    told, errors = answer("reproduce", "lr=0.25 seed=1", store=store, code=2)
    assert "code of the subject" in told
    assert "the code of 'falls' has changed since the run was trained; --anyway" in errors
    assert "the same to the last digit" in output_of("reproduce", "lr=0.25 seed=1", "--anyway", store=store)


def test_a_run_of_a_script_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    words = ["--script", "python train.py {lr}", "--levels", "lr=1,2", "--metric", "score:max", "--seeds", 1]
    answer("grid", *words, "--study", "s", store=tmp_path / "store")
    told = output_of("reproduce", "baseline seed=0", store=tmp_path / "store")
    assert told.endswith("It agrees: the same to the last digit.\n")


def test_a_run_of_the_built_in_subject_is_reproduced_and_its_data_must_be_there(
    tmp_path: Path, tiny_data: Path
) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    shutil.copytree(tiny_data, data)
    words = ["--factors", "tasks", "--levels", "tasks=event", "--seeds", 1, "--data", data, *SMALL]
    answer("grid", *words, "--study", "tiny", store=store)
    run_id = Store(store).study_runs("tiny")[0].run_id
    told = output_of("reproduce", run_id, store=store)
    assert "Curves: the same to the last digit in 2 epochs." in told
    assert "Files: all have the same bytes" in told
    assert "code of ablate" in output_of("show", run_id, store=store)
    shutil.rmtree(data)
    _, errors = answer("reproduce", run_id, store=store, code=2)
    assert "are absent or damaged in" in errors


def test_a_bundle_is_compared_and_imported_and_extended_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = planned(tmp_path, MODULE), tmp_path / "there"
    file = tmp_path / "mine.zip"
    written = output_of("bundle", "mine", file, store=here)
    assert "study mine, 4 runs (4 finished)" in written
    assert "is whole: study mine, 4 runs (4 finished)" in output_of("bundle", "--check", file, store=there)
    for asked in (["compare", "{}"], ["runs", "{}"], ["effects", "{}"], ["noise", "{}"], DIFF):
        told = output_of(*(word.format(file) for word in asked), store=there)
        assert told == output_of(*(word.format("mine") for word in asked), store=here)
    assert f"bundle   {file}" in output_of("show", "lr=0.25 seed=0", file, store=there)
    assert f"Study mine in {file}: 4 finished" in output_of("status", file, store=there)
    assert ablate.compare(file).text() == ablate.compare("mine", store=here).text()
    assert len(ablate.load(file)) == 4
    _, errors = answer("sync", file, store=there, code=2)
    assert f"`ablate import {file}` puts it into a store" in errors
    assert not there.exists()
    assert "'mine': 4 new runs" in output_of("import", file, store=there)
    assert "0 new runs; 4 there already" in output_of("import", file, store=there)
    monkeypatch.setenv("ABLATE_STORE", str(there))
    words = ["--subject", tmp_path / "mine.py", "--levels", "lr=0.5,0.25", "--seeds", 3, "--study", "mine"]
    assert "2 pending, 4 finished" in output_of("grid", *words, "--dry-run", store=there)
    answer("doctor", store=there)


def test_a_bundle_with_other_numbers_for_a_run_is_not_imported(tmp_path: Path) -> None:
    first, file = planned(tmp_path, FICKLE, seeds=1), tmp_path / "mine.zip"
    output_of("bundle", "mine", file, "--no-report", store=first)
    shutil.move(first, tmp_path / "other")
    second = planned(tmp_path, FICKLE, seeds=1)
    _, errors = answer("import", file, store=second, code=2)
    assert "has other scores here (score); nothing was imported" in errors


def test_a_damaged_bundle_is_refused_by_whatever_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    output_of("bundle", "mine", file, "--no-report", store=planned(tmp_path, MODULE, seeds=1))
    file.write_bytes(file.read_bytes()[:-100])
    for words in (["bundle", "--check", file], ["compare", file], ["import", file]):
        _, errors = answer(*words, store=tmp_path / "there", code=2)
        assert "no bundle that can be read" in errors
