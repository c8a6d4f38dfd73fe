"""What is typed: levels, settings, numbers, names, mappings; and that a refusal leaves nothing behind."""

import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.design.designs import DESIGNS, Design
from ablate.design.study import check_study_name, parse_levels, parse_settings, plan_study
from ablate.design.typed import parse_also, parse_full, parse_zips
from ablate.ground.errors import AblateError
from ablate.mtl.definition import subject
from ablate.record.store import Store
from tests.analysis.studies import paper_study
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import nested, texts
from tests.mtl.data.folders import write_folder, write_noise

NAMES = (
    st.sampled_from([*subject.known_factors, *subject.known_factors.settings, "grl_po", "optim", "seed", ""])
    | texts
)
LEVELS = (
    st.sampled_from(("S1", "none", "0", "1", "10", "0.1", "scene", "fan", "1_0", "1,", " 1 ", "5")) | texts
)
pairs = st.builds("{}={}".format, NAMES, st.lists(LEVELS, max_size=3).map(",".join)) | texts

typed = texts.map(lambda text: text.replace("\x00", ""))  # which no argument can hold


@fuzzed(quick=150)
@given(
    factors=st.lists(NAMES, max_size=3),
    levels=st.lists(pairs, max_size=3),
    changes=st.lists(pairs, max_size=2),
    profile=st.sampled_from(("quick", "paper", "quick", "")),
    design=st.sampled_from(tuple(DESIGNS)),
    seeds=st.none() | st.integers(1, 5) | st.integers(),
    more=st.fixed_dictionaries(
        {},
        optional={
            "zips": st.lists(texts | st.lists(NAMES, min_size=2, max_size=3).map(",".join), max_size=2),
            "full": st.lists(pairs, max_size=2),
            "also": st.lists(texts | st.lists(pairs, max_size=3).map(" ".join), max_size=2),
            "exclude": st.lists(texts | st.sampled_from(("lambda > 1", "grl_pos = S1", "a")), max_size=2),
        },
    ),
)
@example(["grl_pos"], [], [], "quick", "full", 10**9, {})
@example([], ["lambda=" + "9" * 5000], [], "quick", "full", 1, {})
@example([], ["optim.epochs=" + "9" * 400], [], "quick", "full", 1, {})
@example([], ["without=" + "x" * 5000], [], "quick", "full", 1, {})
@example([], ["seed=\ud800"], ["\x1b[31m=1"], "quick", "full", None, {})
@example(["grl_pos", "lambda"], [], [], "quick", "ladder", 1, {"zips": ["seed,lambda"], "full": ["x=1"]})
def test_factors_levels_and_settings(
    factors: list[str],
    levels: list[str],
    changes: list[str],
    profile: str,
    design: Design,
    seeds: int | None,
    more: dict[str, list[str]],
) -> None:
    with case("levels and settings"):
        layout = {
            "zips": parse_zips(more.get("zips", [])),
            "full": parse_full(more.get("full", [])),
            "also": [parse_also(text) for text in more.get("also", [])],
            "exclude": more.get("exclude", []),
        }
        base = subject.profile(profile).override(subject.known_factors.fields_of(parse_settings(changes)))
        study = plan_study(
            "s", subject, base, factors, parse_levels(levels), design=design, seeds=seeds, **layout
        )
        assert len({condition.config for condition in study.conditions}) == len(study.conditions)
        assert all(len(condition.name) < 5000 for condition in study.conditions)
        json.dumps([condition.levels for condition in study.conditions], allow_nan=False).encode("utf-8")


@fuzzed(quick=60)
@given(name=texts)
def test_study_names(name: str, tmp_path: Path) -> None:
    with case("study names"):
        check_study_name(name)
        assert (tmp_path / f"{name}.json").resolve().parent == tmp_path.resolve()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    paper_study(store, 2, systems=("mtl", "grl_s1"), epochs=2)
    return store


NUMBERS = st.sampled_from(
    ("nan", "inf", "-inf", "1e309", "-0", "0", "-1", "1e9", "9" * 15, "1_0", "0x10", "٣", "9" * 5000, "")
)
COMMANDS = (
    ("data", "generate", "OUT", "--minutes", "NUMBER", "--eval-minutes", "NUMBER", "--sources", "OUT"),
    ("data", "generate", "OUT", "--seed", "NUMBER", "--sources", "SOURCES", "--map", "PAIR", "--map", "x"),
    ("data", "generate", "OUT", "--map", "PAIR"),
    ("data", "check", "TEXT"),
    ("grid", "--factors", "grl_pos", "--workers", "NUMBER", "--dry-run", "--data", "OUT"),
    ("grid", "--factors", "grl_pos", "--runs-per-gpu", "NUMBER", "--dry-run", "--data", "OUT"),
    ("data", "prepare", "TEXT", "--workers", "NUMBER"),
    ("data", "stats", "TEXT", "--figure", "TEXT"),
    ("grid", "TEXT", "--factors", "TEXT", "--levels", "PAIR", "--set", "PAIR", "--dry-run", "--data", "OUT"),
    ("grid", "--factors", "grl_pos", "--seeds", "NUMBER", "--dry-run", "--data", "OUT"),
    ("grid", "--factors", "grl_pos", "--device", "TEXT", "--plugin", "TEXT", "--dry-run", "--data", "OUT"),
    ("grid", "--factors", "grl_pos", "--design", "both", "--full", "PAIR", "--zip", "TEXT", "--dry-run"),
    ("grid", "--levels", "PAIR", "--also", "TEXT", "--exclude", "TEXT", "--dry-run", "--data", "OUT"),
    ("effects", "paper", "--metrics", "TEXT", "--where", "TEXT", "--format", "FORMAT"),
    ("effects", "paper", "--where", "seed < 2", "--picture", "OUT"),
    ("study", "TEXT", "--profile", "TEXT", "--seeds", "NUMBER", "--dry-run", "--data", "OUT"),
    ("study", "--init", "BAD"),
    ("runs", "paper", "--where", "TEXT", "--columns", "TEXT", "--sort", "TEXT", "--format", "FORMAT"),
    ("compare", "paper", "--metrics", "TEXT", "--baseline", "TEXT", "--format", "FORMAT"),
    ("compare", "paper", "--layout", "TEXT", "--ci", "FORMAT", "--ci-seed", "NUMBER"),
    ("compare", "paper", "--layout", "table3", "--where", "TEXT", "--format", "FORMAT"),
    ("claims", "TEXT", "--where", "TEXT", "--format", "FORMAT"),
    ("show", "TEXT", "--study", "paper", "--format", "FORMAT"),
    ("diff", "TEXT", "TEXT"),
    ("status", "TEXT"),
    ("report", "TEXT", "--no-mlflow", "--output", "OUT"),
)  # fmt: skip
FORMATS_ASKED = st.sampled_from(("table", "json", "csv", "markdown", "latex", "t", "bca", "html", "", "JSON"))


@fuzzed(quick=100)
@given(drawn=st.data())
def test_commands(drawn: st.DataObject, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = []
    for word in drawn.draw(st.sampled_from(COMMANDS)):
        kinds = {
            "TEXT": typed, "BAD": st.sampled_from(("", "a/b", "..", "a b", "\x1b")), "NUMBER": NUMBERS,
            "PAIR": pairs.map(lambda text: text.replace("\x00", "")), "FORMAT": FORMATS_ASKED,
            "OUT": st.just(str(out)), "SOURCES": st.just(str(tmp_path)),
        }  # fmt: skip
        words.append(drawn.draw(kinds[word]) if word in kinds else word)
    with case("commands"):
        result = CliRunner().invoke(app, words, env={"ABLATE_STORE": str(store.root)})
        if isinstance(result.exception, AblateError):
            raise result.exception
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.exit_code in (0, 2), result.output
    assert not out.exists()


def test_no_command_has_written_to_the_store(store: Store) -> None:
    assert {item.name for item in store.root.iterdir()} == {"runs", "studies"}


# ----------------------------------------------------------------------------- the command in its own process

MEMORY_BYTES = 8 * 2**30  # of address space, which libraries reserve freely; half of what once was asked for


def refused(*words: object, store: Path) -> str:
    """What a command says on standard error that must refuse, with exit code 2 and no other output."""
    done = command(*words, store=store)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


def command(*words: object, store: Path) -> subprocess.CompletedProcess[str]:
    """A command that ended, however, without a traceback and within its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "ablate.cli.app", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "ABLATE_STORE": str(store)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_grid_of_a_hundred_million_runs_is_refused(tmp_path: Path) -> None:
    hundred = ",".join(map(str, range(1, 101)))
    names = ("alpha", "beta", "lambda", "optim.epochs")
    levels = [word for name in names for word in ("--levels", f"{name}={hundred}")]
    errors = refused("grid", "--dry-run", *levels, store=tmp_path / "store")
    assert "100,000,000 conditions x 3 seeds" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_claims_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    content = bytearray((folder / "a.wav").read_bytes())
    content[22:28] = struct.pack("<HI", 2**15, 2**32 - 1)  # channels and sample rate
    content[4:8] = content[40:44] = b"\xff" * 4
    (folder / "a.wav").write_bytes(content)
    before = sorted(folder.iterdir())
    assert "a.wav: " in refused("data", "prepare", folder, "--workers", 1, store=tmp_path)
    assert sorted(folder.iterdir()) == before


def test_sources_that_are_no_audio_leave_no_soundscapes(tmp_path: Path) -> None:
    write_noise(tmp_path / "sources" / "rain" / "a.wav", 1.0)
    (tmp_path / "sources" / "rain" / "b.wav").write_bytes(os.urandom(1000))
    out = tmp_path / "out"
    errors = refused("data", "generate", out, "--sources", tmp_path / "sources", store=tmp_path)
    assert "rain/b.wav: cannot be read as audio" in errors
    assert not out.exists()


@pytest.mark.parametrize(
    ("file", "code"), [("config.json", 2), ("result.json", 1), ("history.jsonl", 1), ("seal.json", 1)]
)
def test_a_damaged_run_is_named(file: str, code: int, tmp_path: Path) -> None:
    """What it is stays known, unless it is its configuration that cannot be read."""
    store = Store(tmp_path / "store")
    run, *_ = paper_study(store, 1, systems=("mtl", "grl_s1"), epochs=2)
    damaged = store.folder(run.run_id).path / file
    damaged.write_text(str(nested(900)) + "\n")
    before = sorted(store.root.rglob("*"))
    done = command("show", run.run_id, store=store.root)
    assert done.returncode == code
    assert run.run_id in done.stderr
    assert ("damaged" in done.stdout) == (code == 1)
    assert sorted(store.root.rglob("*")) == before
