"""What a shell is told at a Tab, asked as the shells ask: in processes of their own, and in a real bash."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.completing import Line, _formatted, complete
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_run

ENTRY = "import sys; sys.argv[0] = 'ablate'; from ablate.cli.start import main; main()"
SCRIPT = 'parser.add_argument("--lr")\nparser.add_argument("--drop-out", type=float)\n'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two studies: 'first', and the later 'second' of grl_pos with four runs."""
    store = Store(tmp_path_factory.mktemp("completion") / "store")
    add_runs(store, "first", [make_run()])
    runs = [
        make_run(f"grl_pos={level}", seed, {"grl.position": level}, {"grl_pos": level})
        for level in ("S1", "E2")
        for seed in (0, 1)
    ]
    for run in runs:
        fabricate_run(store, run)
    add_runs(store, "second", runs)
    return store


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def here(store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_STORE", str(store.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def completed(*words: str) -> list[str]:
    """What completes the last of the words after ``ablate``."""
    return list(complete(Line(words[:-1], words[-1])))


def test_commands_options_and_choices() -> None:
    assert completed("gr") == ["grid"]
    assert completed("data", "gen") == ["generate"]
    assert completed("grid", "--retr") == ["--retry"]
    assert completed("grid", "--cause", "m") == ["memory", "machine"]
    assert completed("grid", "--design=lad") == ["--design=ladder"]
    assert "csv" in completed("runs", "--format", "")
    assert "csv" not in completed("show", "--format", "")


def test_factors_of_a_list_and_their_levels() -> None:
    assert completed("grid", "--factors", "grl_pos,sh") == ["grl_pos,shuffle"]
    assert "shuffle,shuffle" not in completed("grid", "--factors", "shuffle,")
    assert completed("grid", "--levels", "shuf") == ["shuffle=none", "shuffle=scene", "shuffle=event"]
    assert completed("grid", "--levels", "lambda=0,1") == ["lambda=0,1", "lambda=0,10"]
    assert completed("grid", "--set", "optim.ep") == ["optim.epochs="]


def test_studies_runs_and_metrics_come_from_the_store(store: Store) -> None:
    assert completed("compare", "") == ["second", "first"]  # the last planned first
    assert completed("compare", "--study", "f") == ["first"]
    metrics = completed("compare", "second", "--metrics", "event_mi")
    assert "event_micro_f" in metrics
    assert completed("compare", "--metrics", "event_micro_f,scene_mac") == ["event_micro_f,scene_macro_f"]
    run = store.study_runs("second")[0]
    assert completed("show", run.run_id[:8]) == [run.run_id]
    assert len(completed("show", "")) == 5
    assert "grl_pos" in completed("runs", "--columns", "seed,grl")[0]


def test_a_script_typed_earlier_on_the_line_says_what_it_can_vary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    assert completed("grid", "--script", "train.py", "--factors", "") == ["lr", "drop-out"]
    assert completed("grid", "--script", "run.sh {width} {seed}", "--factors", "") == ["width"]
    assert completed("grid", "--subject", "mine.py", "--factors", "") == []  # no study of it, not run


def ask(shell: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "_ABLATE_COMPLETE": f"complete_{shell}", "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", ENTRY], env={**variables, **environment}, capture_output=True, text=True
    )


def test_each_shell_is_answered_in_its_own_form(cache: Path) -> None:
    words = "ablate grid --levels shuffle = none,"
    bash = ask("bash", cache, COMP_WORDS=words.replace(" ", "\n"), COMP_CWORD="5")
    assert bash.stdout.splitlines() == ["none,scene", "none,event"]  # what stands after the =
    typed = "ablate grid --design le"
    zsh = ask("zsh", cache, _TYPER_COMPLETE_ARGS=typed)
    assert zsh.stdout == "_arguments '*: :((\"leave-one-out\"))'\n"
    fish = {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ask("fish", cache, **fish).stdout == "leave-one-out\n"
    assert ask("fish", cache, **{**fish, "_TYPER_COMPLETE_FISH_ACTION": "is-args"}).returncode == 0
    assert {answer.stderr for answer in (bash, zsh)} == {""}


def test_whatever_is_wrong_there_is_no_completion_and_no_message(tmp_path: Path, cache: Path) -> None:
    broken = tmp_path / "store"
    (broken / "studies").mkdir(parents=True)
    (broken / "studies" / "s.json").write_text('{"runs": [')
    for words in ("ablate\nshow\n", "ablate\ncompare\ns\n--metrics\n", "ablate\nfrobnicate\n--x\n", ""):
        cword = str(max(0, words.count("\n")))
        answer = ask("bash", cache, COMP_WORDS=words, COMP_CWORD=cword, ABLATE_STORE=str(broken))
        assert (answer.returncode, answer.stderr, "Traceback" in answer.stdout) == (0, "", False)
    assert sorted(path.name for path in broken.rglob("*")) == ["s.json", "studies"]  # nothing is written


@pytest.mark.parametrize(
    "level",
    [
        "$(touch made)",
        "`touch made`",
        r"\$(touch made)",
        r"\`touch made`",
        r'\";touch made;"',
        "';touch made;'",
    ],
)
def test_what_a_store_names_is_never_run(level: str, tmp_path: Path) -> None:
    """zsh evaluates an answer twice, as here bash does: the second time within double quotes."""
    script = """
_arguments() { spec=${1#'*: :(('}; eval "words=( ${spec%'))'} )"; }
eval "$ANSWER"
"""
    environment = {**os.environ, "ANSWER": _formatted("zsh", {level: "said"}, "")}
    subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert list(tmp_path.iterdir()) == []


def test_words_that_a_terminal_would_obey_are_left_out(tmp_path: Path, cache: Path) -> None:
    store = Store(tmp_path / "store")
    levels = ("S1", "\x1b[2J", "two\nlines")
    runs = [
        make_run(f"grl_pos={place}", place, {"optim.lr": 0.1 * (place + 1)}, {"mine": level})
        for place, level in enumerate(levels)
    ]
    add_runs(store, "s", runs)
    file = store.root / "studies" / "s.json"
    file.write_text(file.read_text().replace('"two\\nlines"', '"\\ud800"'))
    typed = "ablate\ngrid\n--levels\nmine\n=\n"
    answer = ask("bash", cache, COMP_WORDS=typed, COMP_CWORD="5", ABLATE_STORE=str(store.root))
    assert (answer.stdout, answer.stderr, answer.returncode) == ("S1\n", "", 0)


def test_a_real_bash_completes_with_the_script_that_is_installed(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    command = tmp_path / "ablate"
    command.write_text(f"#!{sys.executable}\nfrom ablate.cli.start import main\nmain()\n")
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    script = subprocess.run(
        ["ablate", "--show-completion", "bash"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    asked = """
COMP_WORDS=(ablate grid --levels shuffle = s); COMP_CWORD=5; _ablate_completion ablate
printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(ablate compare f); COMP_CWORD=2; _ablate_completion ablate
printf '%s\\n' "${COMPREPLY[@]}"
"""
    answer = subprocess.run(
        [bash, "--norc", "-c", script + asked], env=environment, capture_output=True, text=True
    )
    assert (answer.stdout.split(), answer.stderr) == (["scene", "first"], "")


def test_an_answer_takes_a_fifth_of_a_second_of_the_processor_and_no_library(cache: Path) -> None:
    line = {"COMP_WORDS": "ablate\ncompare\nsecond\n--metrics\nev", "COMP_CWORD": "4"}
    ask("bash", cache, **line)  # which may have to write the cache
    bare = min(
        _cpu_seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(5)
    )
    answers = min(_cpu_seconds(lambda: ask("bash", cache, **line)) for _ in range(5))
    assert answers < bare + 0.2
    loaded = subprocess.run(
        [sys.executable, "-c", f"{ENTRY}; print(sorted(sys.modules), file=sys.stderr)"],
        env={**os.environ, "_ABLATE_COMPLETE": "complete_bash", **line},
        capture_output=True,
        text=True,
    )
    for library in ("typer", "pydantic", "rich", "numpy", "ablate.cli.app", "ablate.record"):
        assert f"'{library}'" not in loaded.stderr


def _cpu_seconds(work: object) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()  # type: ignore[operator]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_cache_is_one_small_file_that_a_change_of_the_code_replaces(cache: Path) -> None:
    completed("gr")
    (file,) = (cache / "ablate").iterdir()
    content = json.loads(file.read_text())
    assert {"commands", "factors", "settings", "metrics"} <= set(content)
    assert file.stat().st_size < 200_000
