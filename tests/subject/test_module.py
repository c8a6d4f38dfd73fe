"""A user's Python module as a subject: opened, and its runs trained."""

import json
import math
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.errors import ConfigError
from ablate.subject.interface import Interrupted
from ablate.subject.module import open_module
from ablate.subject.registry import open_subject
from ablate.subject.scores import Scores
from tests.subject.runs import Runs

GOOD = """
import ablate
class Config(ablate.Config):
    rate: float = ablate.setting(0.1, gt=0, help="how fast")
def train(config, run):
    return ablate.Scores(accuracy=config.rate)
subject = ablate.Subject("mine", Config, train, metrics=[ablate.Metric("accuracy", unit="%")])
"""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def python(code: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[str], Runs]:
    """A module of which ``train`` is told; its configuration has ``rate`` and ``epochs``."""

    def make(train: str, head: str = "import ablate", metrics: Sequence[str] = ()) -> Runs:
        declared = ", ".join(f"ablate.Metric({name!r})" for name in metrics)
        text = (
            f"{head}\n"
            "class Config(ablate.Config):\n    rate: float = 0.1\n    epochs: int = 4\n"
            f"{textwrap.dedent(train)}\n"
            f"subject = ablate.Subject('mine', Config, train, metrics=[{declared}])\n"
        )
        return Runs(tmp_path / "run", open_module(write(tmp_path, text)))

    return make


# Opening


def test_a_module_is_opened_with_what_opens_it_again(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    subject = open_module(path)
    assert subject.name == "mine"
    assert subject.spec["kind"] == "module"
    assert subject.spec["path"] == str(path)
    again = open_subject(json.loads(json.dumps(subject.spec)))
    assert again.spec == subject.spec
    assert again.version == subject.version == subject.spec["digest"]
    assert again.default.flat() == {"rate": 0.1, "seed": 0}


def test_a_changed_file_is_executed_anew_and_has_another_version(tmp_path: Path) -> None:
    subject = open_module(write(tmp_path, GOOD))
    changed = open_module(write(tmp_path, GOOD.replace("0.1", "0.2")))
    assert changed.default.flat()["rate"] == 0.2
    assert changed.version != subject.version


def test_a_run_is_not_trained_with_other_code_than_it_was_planned_with(tmp_path: Path) -> None:
    planned = open_module(write(tmp_path, GOOD))
    run = Runs(tmp_path / "run", planned)
    run.scores()
    write(tmp_path, GOOD.replace("0.1", "0.2"))
    for subject in (planned, open_module(planned.spec)):
        with pytest.raises(ConfigError, match="changed since the study was planned; type the command again"):
            Runs(tmp_path / "run", subject).scores()
    with pytest.raises(ConfigError, match="has changed"):
        run.scores()


def test_a_subject_can_be_given_another_name(tmp_path: Path) -> None:
    subject = open_module({"path": str(write(tmp_path, GOOD)), "name": "other"})
    assert subject.name == open_subject(subject.spec).name == "other"


def test_neighbours_and_what_it_uses_are_part_of_its_version(tmp_path: Path) -> None:
    text = GOOD.replace("import ablate", "import ablate, helpers_of_mine", 1)
    text = text.replace('unit="%")]', 'unit="%")], uses=["words.txt"]')
    write(tmp_path, "RATE = 1", "helpers_of_mine.py")
    write(tmp_path, "a", "words.txt")
    path = write(tmp_path, text)
    versions = [open_module(path).version]
    write(tmp_path, "RATE = 2", "helpers_of_mine.py")
    versions.append(open_module(path).version)
    write(tmp_path, "b", "words.txt")
    versions.append(open_module(path).version)
    write(tmp_path, "a", "more.txt")
    subject = open_module({"path": str(path), "uses": [str(tmp_path / "more.txt")]})
    versions.append(subject.version)
    assert open_module(subject.spec).version == subject.version
    assert len(set(versions)) == 4


def test_neighbours_of_two_modules_do_not_mix(tmp_path: Path) -> None:
    for rate in (1, 2):
        folder = tmp_path / str(rate)
        folder.mkdir()
        write(folder, f"RATE = {rate}.0", "rates_of_mine.py")
        path = write(
            folder,
            GOOD.replace("import ablate", "import ablate, rates_of_mine").replace(
                "0.1", "rates_of_mine.RATE"
            ),
        )
        assert open_module(path).default.flat()["rate"] == rate


def test_what_it_defines_can_be_pickled_for_another_process(tmp_path: Path) -> None:
    subject = open_module(write(tmp_path, GOOD, "mine_to_pickle.py"))
    content = pickle.dumps(subject.default)
    path = f"import sys, pickle; sys.path.insert(0, {str(tmp_path)!r})"
    assert python(f"{path}; print(pickle.loads({content!r}).rate)") == "0.1\n"


def test_a_module_named_as_one_of_the_library_is_no_trouble(tmp_path: Path) -> None:
    assert open_module(write(tmp_path, GOOD, "random.py")).name == "mine"
    assert not hasattr(sys.modules["random"], "subject")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import ablate\nimport nothing_like_it\n", "line 2: ModuleNotFoundError: No module named"),
        ("import ablate\n\n1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("def (\n", "line 1: invalid syntax"),
        ("import sys\nsys.exit(2)\n", "line 2: importing it ends the process; put what is for the command"),
        ("import ablate\n", r"there is no subject in it; define subject = ablate\.Subject"),
        ("subject = 3\n", "subject is 3, not an ablate.Subject"),
        (
            GOOD.replace("subject =", "a = b =") + "c = ablate.Subject('c', Config, train)",
            "there are several subjects, a, b, c; call one of them subject",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as error:
        open_module(path)
    assert str(tmp_path) in str(error.value)


LAST = 'unit="%")]'


@pytest.mark.filterwarnings("ignore:Field name")
@pytest.mark.parametrize(
    ("part", "instead", "message"),
    [
        ("ablate.Config)", "object)", "Config is not derived from ablate.Config"),
        (
            'rate: float = ablate.setting(0.1, gt=0, help="how fast")',
            "rate: float",
            "setting 'rate' has no default; give it one",
        ),
        ("setting(0.1", "setting(-1", "default is not allowed: rate = -1: input should be greater"),
        (
            "rate: float = ablate.setting(0.1, gt=0",
            "rate: list = ablate.setting([1]",
            r"setting 'rate' is \[1\]; settings are numbers, text",
        ),
        ("rate", "flat", "a setting cannot be called 'flat'"),
        ("(config, run)", "(config)", r"train cannot be called as train\(config, run\)"),
        ("Config, train,", "Config, 3,", "train is 3, not a function"),
        ("def train", "async def train", "train is an async function"),
        ('ablate.Metric("accuracy", unit="%")', '"accuracy"', "metrics: 'accuracy' is not an ablate.Metric"),
        ('unit="%")', 'unit="%"), ablate.Metric("accuracy")', "metric 'accuracy' is declared 2 times"),
        ('unit="%")', 'best="high")', "best='high' is neither 'max' nor 'min'"),
        (
            LAST,
            LAST + ', profiles={"fast": {"rats": 1}}',
            "profile 'fast': unknown setting 'rats'; did you mean 'rate'",
        ),
        (LAST, LAST + ', factors=[ablate.Factor("lr", "rats")]', "is not a Factor whose field is known"),
        (
            LAST,
            LAST + ', factors=[ablate.Factor("lr", "rate", (-1,))]',
            "factor 'lr': rate = -1: input should be greater",
        ),
        (LAST, LAST + ', scoring=["rats"]', "scoring: unknown setting 'rats'"),
        (LAST, LAST + ', uses="words.txt"', r"uses='words.txt' is one text; write uses=\['words.txt'\]"),
        (
            LAST,
            LAST + ', uses=["words.txt"]',
            r"words.txt: no such file or folder, though the subject is said to use it",
        ),
        ('"mine"', '"a/b"', "a subject cannot be called 'a/b'"),
    ],
)
def test_what_is_wrong_with_a_subject_is_a_sentence(
    tmp_path: Path, part: str, instead: str, message: str
) -> None:
    assert part in GOOD
    path = write(tmp_path, GOOD.replace(part, instead))
    with pytest.raises(ConfigError, match=message):
        open_module(path)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.py: no such file; name the file that defines the subject"):
        open_module(tmp_path / "gone.py")
    with pytest.raises(ConfigError, match="not a Python file"):
        open_module(write(tmp_path, GOOD, "mine.txt"))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("(config, run)", "(config)").replace(
        'unit="%")]', '"max", "%"), 3], profiles={"a": 1}'
    )
    with pytest.raises(ConfigError) as error:
        open_module(write(tmp_path, text))
    assert len(error.value.problems) == 3


def test_the_line_of_the_users_own_is_told_not_that_of_a_library(tmp_path: Path) -> None:
    write(tmp_path, "\n\nraise ValueError('no')", "neighbour_of_mine.py")
    with pytest.raises(ConfigError, match=r"neighbour_of_mine\.py, line 3: ValueError: no"):
        open_module(write(tmp_path, "import neighbour_of_mine"))


def test_a_module_without_torch_imports_none(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    heavy = ["torch", "pandas", "mlflow", "numpy", "scipy", "librosa", "matplotlib", "sklearn"]
    printed = python(f"""
        import sys
        from pathlib import Path
        from ablate.subject.registry import open_subject
        from tests.subject.runs import Runs
        run = Runs(Path({str(tmp_path / "run")!r}), open_subject({{"kind": "module", "path": {str(path)!r}}}))
        assert run.scores().metrics == {{"accuracy": 0.1}}
        print([name for name in {heavy} if name in sys.modules])
    """)
    assert printed == "[]\n"


# Training


def test_a_run_returns_its_scores_and_what_was_not_read(runs: Callable[..., Runs]) -> None:
    run = runs("def train(config, run): return ablate.Scores(accuracy=config.rate)")
    scores = run.scores(rate=0.5)
    assert scores.metrics == {"accuracy": 0.5}
    assert scores.unread == ("epochs",)
    assert scores.seconds is not None
    assert 0 <= scores.seconds < 5
    assert run.resumed == [[]]
    assert run.told == []


def test_epochs_are_told_as_they_end(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            for epoch in run.epochs(config.epochs):
                run.report(loss=1 / epoch)
                if epoch != 2:
                    run.report(validation=float("nan"))
            run.report(loss=1e40)
            return {"loss": 1}
    """)
    run.scores(epochs=3)
    assert [row["epoch"] for row in run.told] == [1, 2, 3, 4]
    assert [row["loss"] for row in run.told] == [1, 1 / 2, 1 / 3, math.inf]
    assert ["validation" in row for row in run.told] == [True, False, True, False]
    assert math.isnan(run.told[0]["validation"])
    assert all(row["seconds"] >= 0 for row in run.told)


def test_reports_without_a_loop_are_epochs_of_their_own(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            run.report(loss=3)
            run.report(epoch=5, loss=None)
            run.report(loss=1)
            return {"loss": 1}
    """)
    run.scores()
    assert [(row["epoch"], row["loss"]) for row in run.told] == [(1, 3), (5, None), (6, 1)]


def test_an_early_end_of_the_loop_is_told_too(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            for epoch in run.epochs(config.epochs):
                run.report(loss=epoch)
                if epoch == 2:
                    break
            return {"last": epoch}
    """)
    assert run.scores().metrics == {"last": 2}
    assert [row["loss"] for row in run.told] == [1, 2]


def test_a_train_that_yields_reports_what_it_yields(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            for epoch in range(config.epochs):
                yield {"loss": epoch}
            return {"loss": epoch}
    """)
    assert run.scores(epochs=2).metrics == {"loss": 1}
    assert [(row["epoch"], row["loss"]) for row in run.told] == [(1, 0), (2, 1)]
    assert isinstance(run.run(stop_after=1), Interrupted)


def test_random_numbers_are_a_function_of_seed_and_purpose(runs: Callable[..., Runs]) -> None:
    run = runs("""
        import random
        def train(config, run):
            import numpy as np
            a, b = run.generator("split"), run.generator("split", np.int64(1))
            return {"a": a.random(), "b": b.random(), "python": random.random(), "numpy": np.random.rand()}
    """)
    first, again, other = run.scores(seed=1), run.scores(seed=1), run.scores(seed=2)
    assert first.metrics == again.metrics
    assert len({*first.metrics.values(), *other.metrics.values()}) == 8


def test_libraries_are_seeded_though_a_training_is_the_first_to_import_them(tmp_path: Path) -> None:
    text = GOOD.replace("accuracy=config.rate", "accuracy=numbers(config)") + textwrap.dedent("""
        def numbers(config):
            import numpy.random, torch
            return numpy.random.rand() + torch.rand(1).item()
    """)
    path = write(tmp_path, text)
    printed = python(f"""
        import sys
        from pathlib import Path
        from ablate.subject.module import open_module
        from tests.subject.runs import Runs
        run = Runs(Path({str(tmp_path / "run")!r}), open_module({str(path)!r}))
        assert "numpy" not in sys.modules and "torch" not in sys.modules
        print(*(run.scores(seed=seed).metrics["accuracy"] for seed in (3, 4, 3)))
    """)
    first, other, again = printed.split()
    assert first == again != other


def test_the_folder_and_the_data_are_the_runs_own(runs: Callable[..., Runs], tmp_path: Path) -> None:
    run = runs("""
        def train(config, run):
            count = len(list(run.folder.iterdir()))
            (run.folder / f"{count}.txt").write_text("kept")
            return {"count": count, "data": 0 if run.data is None else len(list(run.data.iterdir()))}
    """)
    (tmp_path / "data").mkdir()
    assert run.scores().metrics == {"count": 0, "data": 0}
    (tmp_path / "data/a").write_text("")
    assert run.scores(data=tmp_path / "data").metrics == {"count": 1, "data": 1}
    run.trainer.tidy(run.folder)
    assert (run.folder / "work/1.txt").read_text() == "kept"


def test_the_labels_of_a_matrix_may_be_gone_through_only_once(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            return ablate.Scores(a=1, confusion=ablate.Matrix(map(str, range(2)), [[1, 2], [3, 4.0]]))
    """)
    matrix = run.scores().matrices["confusion"]
    written = {"rows": ["0", "1"], "columns": ["0", "1"], "counts": [[1, 2], [3, 4]]}
    assert matrix.to_json() == matrix.to_json() == written


# What goes wrong


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "train returned nothing; return ablate.Scores"),
        ("0.9", "train returned 0.9; return ablate.Scores"),
        ("{}", "train returned no metric"),
        ("{'accuracy': 'good'}", "train returned 'accuracy': 'good', which is not a number"),
        ("{'accuracy': float('nan')}", "train returned accuracy = nan, which is no result"),
        ("ablate.Scores(accuracy=float('inf'))", "train returned accuracy = inf"),
        ("{'accuracy': 1, 'acuracy': 1}", "metric 'acuracy', which is not declared; did you mean 'accuracy'"),
        ("{'f/car': 1}", "train returned no accuracy, which the subject declares"),
        ("{'accuracy': 1, 'f@1': 2}", "metric 'f@1'; a name is made of"),
        (
            "ablate.Scores(accuracy=1, m=ablate.Matrix('ab', [[1, 2]]))",
            "matrix 'm' of 1 x 2 counts for 2 x 2 labels",
        ),
        (
            "ablate.Scores(accuracy=1, m=ablate.Matrix('a', [[0.5]]))",
            "matrix 'm' with 0.5, which is no count",
        ),
        (
            "ablate.Scores(accuracy=1, t=ablate.Table('ab', [[1]]))",
            "table 't' with a row that has not 2 cells",
        ),
        ("ablate.Scores(accuracy=1, facts={'x': [1]})", r"fact 'x' = \[1\]; facts are"),
    ],
)
def test_what_no_record_can_hold_is_a_sentence(
    runs: Callable[..., Runs], returned: str, message: str
) -> None:
    run = runs(f"def train(config, run): return {returned}", metrics=["accuracy", "f/*"])
    with pytest.raises(ConfigError, match=message):
        raise_it(run.run())


def raise_it(outcome: Scores | Exception) -> None:
    assert isinstance(outcome, Exception), outcome
    raise outcome


def test_a_declared_metric_may_be_undefined_and_a_family_may_be_empty(runs: Callable[..., Runs]) -> None:
    run = runs("def train(config, run): return {'accuracy': None}", metrics=["accuracy", "f/*"])
    assert run.scores().metrics == {"accuracy": None}


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("raise ValueError('seed is odd')", ValueError, "seed is odd"),
        ("raise SystemExit(3)", ConfigError, r"ended its process \(exit code 3\)"),
        ("run.report(loss='low')", ConfigError, r"run.report\(loss='low'\): not a number"),
        ("run.report(seconds=1)", ConfigError, "the time of an epoch is measured"),
        ("run.report(epoch=2); run.report(epoch=2)", ConfigError, "epoch 2 has been reported already"),
        ("run.epochs(1.5)", ConfigError, r"run.epochs\(1.5\): epochs are counted in whole numbers"),
        ("run.epochs(1); run.epochs(1)", ConfigError, "called a second time"),
        ("run.report(loss=1); run.epochs(1)", ConfigError, "called before run.epochs"),
        (
            "[run.report(epoch=0) for _ in run.epochs(2)]",
            ConfigError,
            "in epoch 1 of run.epochs.*leave epoch= out",
        ),
        ("run.epochs(1, save=3)", ConfigError, r"run.epochs\(save\): a int has no state_dict"),
        ("run.epochs(1, save={'a': 3})", ConfigError, r"run.epochs\(save\['a'\]\): a int has no"),
        ("run.generator(object())", ConfigError, "say what the random numbers are for with text and numbers"),
        ("yield 3", ConfigError, "train yielded 3; yield a dict"),
    ],
)
def test_what_goes_wrong_in_a_training_is_its_outcome(
    runs: Callable[..., Runs], body: str, kind: type[Exception], message: str
) -> None:
    run = runs(f"def train(config, run):\n    {body}\n    return {{'a': 1}}")
    with pytest.raises(kind, match=message):
        raise_it(run.run())
    assert "generator" in body or "yield" in body or run.resumed == [[]]


def test_a_state_that_cannot_be_saved_is_told_before_the_first_epoch(runs: Callable[..., Runs]) -> None:
    run = runs("""
        class Model:
            def state_dict(self): return {"layers": [1, {"f": print}]}
            def load_state_dict(self, state): pass
        def train(config, run):
            for epoch in run.epochs(2, save={"model": Model()}):
                raise ValueError("too late")
    """)
    with pytest.raises(
        ConfigError, match=r"model\.layers\[1\]\.f = <built-in function print> cannot be saved"
    ):
        raise_it(run.run())


def test_ctrl_c_is_not_an_outcome(runs: Callable[..., Runs]) -> None:
    with pytest.raises(KeyboardInterrupt):
        runs("def train(config, run): raise KeyboardInterrupt").run()


def test_a_forked_child_that_comes_back_is_not_taken_for_the_run(runs: Callable[..., Runs]) -> None:
    run = runs("""
        import os
        def train(config, run):
            child = os.fork()
            if child == 0:
                return {"who": 0}
            os.waitpid(child, 0)
            return {"who": 1}
    """)
    assert run.scores().metrics == {"who": 1}


def test_the_current_folder_is_put_right(runs: Callable[..., Runs]) -> None:
    before = Path.cwd()
    runs("def train(config, run):\n    import os\n    os.chdir('/')\n    return {'a': 1}").scores()
    assert Path.cwd() == before


# Output


def test_what_is_printed_is_in_the_log(runs: Callable[..., Runs]) -> None:
    run = runs("""
        import ctypes, logging, subprocess, sys
        def train(config, run):
            print("from Python")
            print("an error", file=sys.stderr)
            subprocess.run(["echo", "from a child"])
            ctypes.CDLL(None).puts(b"from C")
            return {"a": 1}
    """)
    print("not this")
    run.scores()
    print("nor this")
    for line in ("from Python", "an error", "from a child", "from C"):
        assert f"{line}\n" in run.logged
    assert "this" not in run.logged


def test_a_log_keeps_its_beginning_and_its_end(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            line = "x" * 1023
            print("first words")
            for _ in range(100 << 10):
                print(line)
            print("last words")
            return {"a": 1}
    """)
    run.scores()
    logged = run.logged
    assert len(logged) < 17 << 20
    assert logged.startswith("first words\n")
    assert logged.endswith("last words\n")
    assert "left out here" in logged


# Interruption

COUNTING = """
class Model:
    def __init__(self): self.total = 0.0
    def state_dict(self):
        return {"total": self.total, "nested": {"a": [1, None, "text", (2.5, True)]}, 3: "number"}
    def load_state_dict(self, state):
        assert state["nested"] == {"a": [1, None, "text", (2.5, True)]} and state[3] == "number"
        self.total = state["total"]
def train(config, run):
    import random
    model, draws = Model(), run.generator("draws")
    for epoch in run.epochs(config.epochs, save=model):
        if epoch == 1:
            rate = config.rate
        model.total += random.random() + draws.random()
        run.report(total=model.total)
    return {"total": model.total}
"""


def test_a_run_goes_on_where_it_was_interrupted_to_the_bit(runs: Callable[..., Runs]) -> None:
    run = runs(COUNTING)
    undisturbed = run.scores()
    rows = [row["total"] for row in run.told]
    run.trainer.tidy(run.folder)
    run.told.clear()
    assert str(run.run(stop_after=1)) == "interrupted after epoch 1"
    assert str(run.run(stop_after=2)) == "interrupted after epoch 3"
    resumed = run.scores()
    assert resumed.metrics == undisturbed.metrics
    assert [row["total"] for row in run.told] == rows
    assert [len(told) for told in run.resumed] == [0, 0, 1, 3]
    assert [row["epoch"] for row in run.resumed[-1]] == [1, 2, 3]
    assert resumed.unread == undisturbed.unread == ()


def test_a_run_that_is_killed_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    head, _, rest = GOOD.replace("accuracy", "total").partition("def train")
    head = head.replace("rate: float", "epochs: int = 4\n    rate: float")
    text = head + COUNTING + rest[rest.index("subject =") :]
    deadly = "if epoch == 3 and (run.folder / 'deadly').exists(): os.kill(os.getpid(), 9)"
    path = write(tmp_path, "import os\n" + text.replace("run.report", f"{deadly}\n        run.report"))
    undisturbed = Runs(tmp_path / "undisturbed", open_module(path))
    run = Runs(tmp_path / "killed", open_module(path))
    (run.folder / "work").mkdir(parents=True)
    (run.folder / "work/deadly").write_text("")
    code = f"""
        from pathlib import Path
        from ablate.subject.module import open_module
        from tests.subject.runs import Runs
        Runs(Path({str(run.folder)!r}), open_module({str(path)!r})).scores()
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL
    (run.folder / "work/deadly").unlink()
    assert run.scores().metrics == undisturbed.scores().metrics
    assert [row["epoch"] for row in run.told] == [3, 4]
    assert [row["epoch"] for row in run.resumed[0]] == [1, 2]


def test_states_are_saved_as_often_as_is_asked(runs: Callable[..., Runs]) -> None:
    run = runs(COUNTING)
    run.scores(save_every_s=60.0)
    assert not (run.folder / "checkpoint.zip").exists()
    assert isinstance(run.run(stop_after=1, save_every_s=60.0), Interrupted)
    assert (run.folder / "checkpoint.zip").exists()
    run.trainer.tidy(run.folder)
    assert list(run.folder.iterdir()) == [run.folder / "log.txt"]


def test_a_run_without_save_starts_over(runs: Callable[..., Runs]) -> None:
    run = runs(COUNTING.replace(", save=model", ""))
    assert "it starts over" in str(run.run(stop_after=2))
    run.scores()
    assert [row["epoch"] for row in run.told] == [1, 2, 1, 2, 3, 4]
    assert run.resumed == [[], []]


def test_one_that_is_asked_to_stop_and_returns_is_interrupted(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            for step in range(10):
                run.report(loss=step)
                if run.should_stop():
                    break
            return {"steps": step}
    """)
    assert isinstance(run.run(stop_after=2), Interrupted)
    assert run.scores().metrics == {"steps": 9}


def test_no_training_can_swallow_an_interruption(runs: Callable[..., Runs]) -> None:
    run = runs("""
        def train(config, run):
            try:
                for epoch in run.epochs(4):
                    pass
            except Exception:
                raise ValueError("something went wrong")
            return {"a": 1}
    """)
    assert isinstance(run.run(stop_after=2), Interrupted)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"total", b"tatol", 1)), "is damaged"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"version": "', b'"version": "0')),
            "is damaged",
        ),
    ],
)
def test_a_damaged_state_is_told_and_ignored(
    runs: Callable[..., Runs], spoil: Callable[[Path], Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = runs(COUNTING)
    undisturbed = run.scores()
    run.run(stop_after=2)
    spoil(run.folder / "checkpoint.zip")
    assert run.scores().metrics == undisturbed.metrics
    assert run.resumed[-1] == []
    assert words in caplog.text
    assert "starts over" in caplog.text


def test_a_state_of_other_settings_or_code_is_ignored(
    runs: Callable[..., Runs], caplog: pytest.LogCaptureFixture
) -> None:
    run = runs(COUNTING)
    run.run(stop_after=2)
    run.scores(rate=0.7)
    changed = runs(COUNTING + "# changed")
    changed.run(stop_after=2)
    changed.scores()
    assert run.resumed[-1] == []
    assert changed.resumed[0] == []
    assert len(changed.resumed[1]) == 2
    assert caplog.text.count("is of other settings, data or code and is ignored") == 2


NETWORK = """
import numpy as np, random, torch
from torch import nn
def train(config, run):
    x = torch.randn(64, 8); y = (x.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True)
    save = {"model": model, "optimiser": optimiser, "schedule": schedule}
    for epoch in run.epochs(config.epochs, save=save):
        total = 0.0
        for inputs, targets in data:
            noise = torch.from_numpy(np.random.randn(*inputs.shape)).float() * random.random()
            loss = nn.functional.cross_entropy(model(inputs + noise), targets)
            optimiser.zero_grad(); loss.backward(); optimiser.step()
            total += loss.item()
        schedule.step()
        run.report(loss=total)
    return {"loss": total, "weights": sum(p.double().abs().sum().item() for p in model.parameters())}
"""


@pytest.mark.usefixtures("one_thread")
def test_a_network_that_draws_from_global_generators_resumes_to_the_bit(
    runs: Callable[..., Runs],
) -> None:
    run = runs(NETWORK)
    undisturbed = run.scores(seed=5)
    rows = [row["loss"] for row in run.told]
    run.trainer.tidy(run.folder)
    run.told.clear()
    assert isinstance(run.run(stop_after=1, seed=5), Interrupted)
    assert isinstance(run.run(stop_after=2, seed=5), Interrupted)
    assert run.scores(seed=5).metrics == undisturbed.metrics
    assert [row["loss"] for row in run.told] == rows
    run.trainer.tidy(run.folder)
    assert run.scores(seed=6).metrics != undisturbed.metrics


def test_whatever_a_state_is_made_of_is_read_as_it_was_written(tmp_path: Path) -> None:
    import numpy as np
    import torch

    from ablate.subject import saved

    model = torch.nn.utils.spectral_norm(torch.nn.Linear(2, 2))
    state, numbers = model.state_dict(), np.arange(3, dtype=np.int16)
    content = {"model": state, "numbers": numbers, "number": np.float32(0.1), "#array": 0, "nothing": ()}
    saved.write(tmp_path / "state", content)
    read = saved.read(tmp_path / "state")
    model.load_state_dict(read["model"])
    assert read["model"]._metadata == state._metadata  # type: ignore[attr-defined]
    assert read["numbers"].dtype == np.int16
    assert read["number"] == np.float32(0.1)
    assert read["#array"] == 0
    assert read["nothing"] == ()


def test_settings_of_another_subject_are_refused(tmp_path: Path) -> None:
    run = Runs(tmp_path / "run", open_module(write(tmp_path, GOOD)))
    with pytest.raises(ConfigError, match="unknown setting 'rats'"):
        run.trainer.begin(run.job({"rats": 1}))
