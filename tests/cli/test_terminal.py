"""Whatever the width of the terminal: no line of a table is wider, and no number is lost."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.mtl.definition import TABLE3
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.upkeep import doctor
from ablate.upkeep.findings import Finding
from ablate.upkeep.inventory import Inventory
from tests.analysis.studies import paper_study
from tests.conftest import make_tiny_data
from tests.fabricate import fabricate_study, make_run
from tests.mtl.data.folders import write_noise
from tests.terminal import in_terminal, on_screen, piped

WIDTHS = (40, 60, 80, 120)
LONG = {"labels.shuffle": "scene", "grl.position": "S1"}
LONG_NAME = "shuffle=scene grl_pos=S1 optim.lr="

# What somebody copies is not broken by us: a command, a path.
COPIED = re.compile(r"\s*(\$ )?ablate .*|\s*\S*/\S*")
MEASURED = re.compile(r"[-+]?\d+\.\d\d?\b|\b\d+ \+ +\d+")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nine systems with a failed and a pending run, and a study whose names and scores are wide."""
    root = tmp_path_factory.mktemp("terminal") / "store"
    store = Store(root)
    paper_study(store, seeds=3, unfinished={("grl_e1", 1): State.FAILED, ("grl_e2", 2): State.PENDING})
    fabricate_study(store, "grid", [make_run(seed=seed) for seed in range(12)])
    for rate, skill in ((0.004, 0.3), (0.002, 0.9)):
        settings = {**LONG, "optim.lr": rate}
        condition = {"shuffle": "scene", "grl_pos": "S1", "optim.lr": rate}
        runs = [make_run(f"{LONG_NAME}{rate}", seed, settings, condition) for seed in range(12)]
        fabricate_study(store, "grid", runs, scene_skill=skill)
    fabricate_study(store, "forgotten", [make_run("late", 0, {"optim.lr": 0.1})])
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("terminal") / "data")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor looks at the machine once, which takes it seconds, and tells the same at every width."""
    monkeypatch.setattr(doctor, "CHECKS", {**doctor.CHECKS, **LOOKS_AT_MACHINE})


def once(check: doctor.Check) -> doctor.Check:
    """The check, which finds at every call what it found at its first."""
    found: list[Finding] = []

    def again(inventory: Inventory) -> Iterator[Finding]:
        if not found:
            found.extend(check(inventory))
        return iter(found)

    return again


LOOKS_AT_MACHINE = {name: once(doctor.CHECKS[name]) for name in ("torch", "subject")}

COMMANDS = {
    "compare": "compare grid",
    "compare of the paper": "compare paper",
    "compare, derived scores": "compare grid --metrics "
    "scene_confusion/city_center/residential_area,event_f/object_squeaking",
    "compare, table 3": "compare paper --layout table3",
    "compare, table 4": "compare paper --layout table4",
    "claims": "claims paper",
    "runs, columns": "runs grid --columns run_id,name,scene_macro_f,event_f/keyboard_typing,duration_s,log",
    "status": "status grid",
    "status with failures": "status paper",
    "show": "show grl_s1\nseed=1 paper",
    "diff": "diff mtl\nseed=0 grl_s1\nseed=1 --study paper",
    "doctor": "doctor",
    "gc": "gc --study forgotten --dry-run",
}


def words(command: str) -> list[str]:
    return [word.replace("\n", " ") for word in command.split(" ")]


def assert_fits(lines: list[str], columns: int) -> None:
    too_wide = [line for line in lines if len(line) > columns and not COPIED.fullmatch(line)]
    assert lines
    assert not too_wide


def measured(lines: list[str]) -> Counter[str]:
    """Every score, difference, bound, duration and count of instances, with how often it is there."""
    return Counter(re.sub(r"\s+", " ", number) for line in lines for number in MEASURED.findall(line))


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_line_fits_and_nothing_measured_is_lost(store: Path, command: str, columns: int) -> None:
    typed = [*words(command), "--store", store]
    lines = on_screen(*typed, columns=columns)
    assert_fits(lines, columns)
    if command != "doctor":  # which measures the machine anew
        assert not measured(piped(*typed, columns=columns)) - measured(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_runs_leaves_out_what_it_names_and_shows_all_else(store: Path, columns: int) -> None:
    lines = on_screen("runs", "grid", "--store", store, columns=columns)
    assert_fits(lines, columns)
    table, _, hint = " ".join("\n".join(lines).split()).partition("Left out for lack of width: ")
    left_out = hint.partition(". ")[0].split(", ")
    assert not hint or "A wider terminal or --format csv shows all." in hint
    shown = [name for name in (*TABLE3, "duration_s") if name not in left_out]
    asked = piped("runs", "grid", "--columns", f"name,{','.join(shown)}", "--store", store, columns=columns)
    assert not measured(asked) - measured(table.split())
    assert bool(hint) == (columns < 120)


@pytest.mark.parametrize("columns", WIDTHS)
def test_factors_and_plans_fit(store: Path, data: Path, columns: int) -> None:
    assert_fits(on_screen("factors", columns=columns), columns)
    for plan in ("grid --factors grl_pos,lambda,shuffle --seeds 7", "study experiments/paper.toml"):
        lines = on_screen(*words(plan), "--data", data, "--dry-run", "--store", store, columns=columns)
        assert_fits(lines, columns)
        text = " ".join(" ".join(lines).split())
        assert "Nothing was trained or written. Leave out --dry-run to train." in text


@pytest.mark.parametrize("columns", WIDTHS)
def test_what_is_printed_of_data_fits(data: Path, columns: int) -> None:
    for command in ("check", "stats", "prepare"):
        lines = on_screen("data", command, data, columns=columns)
        assert_fits(lines, columns)
        assert not measured(piped("data", command, data, columns=columns)) - measured(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_recordings_that_soundscapes_are_made_of_fit(tmp_path: Path, columns: int) -> None:
    for name in ("rain", "drizzle on a tin roof in november", "buzz"):
        for file in ("a.wav", "b.wav"):
            write_noise(tmp_path / "sources" / name / file, 1.0)
    sizes = ["--minutes", "0.7", "--eval-minutes", "0.7", "--workers", "1"]
    mapped = ["--map", "drizzle on a tin roof in november=water tap running", "--map", "buzz=fan"]
    folder, sources = tmp_path / "set", tmp_path / "sources"
    lines = on_screen("data", "generate", folder, "--sources", sources, *sizes, *mapped, columns=columns)
    assert_fits(lines, columns)
    assert "drizzle on a tin roof" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("command", ["compare grid", "status grid", "runs grid"])
def test_names_stay_whole_in_the_narrowest_terminal(store: Path, command: str) -> None:
    text = " ".join(" ".join(on_screen(*words(command), "--store", store, columns=40)).split())
    assert "optim.lr=0.004" in text
    assert "optim.lr=0.002" in text


def test_a_real_terminal_is_asked_for_its_width(store: Path) -> None:
    lines = in_terminal("compare", "grid", "--store", store, columns=40)
    assert_fits(lines, 40)
    assert max(map(len, lines)) == 40
    assert lines == on_screen("compare", "grid", "--store", store, columns=40)


@pytest.mark.parametrize("command", ["compare grid", "status grid", "factors", "runs grid"])
def test_a_pipe_gets_one_line_a_row_whatever_the_terminal(store: Path, command: str) -> None:
    stored = [] if command == "factors" else ["--store", store]
    narrow, wide = (piped(*words(command), *stored, columns=columns) for columns in (40, 200))
    assert narrow == wide
    assert max(map(len, narrow)) > 80
