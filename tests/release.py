"""Build the package as it is published, install it as others do, and try it there.

    python -m tests.release --output dist

The wheel and the source distribution are each installed with the newest packages that pyproject.toml admits,
and the wheel with the oldest; torch alone is the same in all three, since an old one is gigabytes. All is
done by uv, which has to lie beside Python. Environments are made in a temporary folder and removed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

TRAINING = ["--set", "model.width=0.03125", "--set", "optim.epochs=2", "--seeds", "2", "--launcher", "inline"]
SCRIPT = 'echo "{\\"score\\": $1}"\n'

# What somebody types in an empty folder, and what must stand in the answer.
COMMANDS = [
    (["--version"], f"ablate {VERSION}"),
    (["--help"], "Train the combinations that are not trained yet."),
    (["grid", "--help"], "--seeds"),
    (["factors"], "grl_pos"),
    (["study", "paper", "--dry-run"], "9 conditions"),
    (["data", "generate", "data", "--minutes", "1", "--eval-minutes", "1"], "evaluation: 4 recordings"),
    (["grid", "tried", "--data", "data", "--levels", "grl_pos=none,S1", *TRAINING], "[4/4]"),
    (["compare", "tried", "--format", "csv"], "grl_pos=S1"),
    (["runs", "tried", "--where", "seed = 1"], "2 finished"),
    (["report", "tried", "-o", "report.html"], "wrote report.html"),
    (["watch", "tried"], "4 finished"),
    (["reproduce", "grl_pos=S1 seed=1", "--epochs", "1"], "the same to the last digit"),
    (["bundle", "tried", "tried.zip"], "Wrote tried.zip"),
    (["claims", "tried", "--format", "json"], "ablate.claims/1"),
    (["compare", "tried.zip", "--format", "csv"], "grl_pos=S1"),
    (["grid", "own", "--script", "sh own.sh {a}", "--levels", "a=1,2,3", "--seeds", "2"], "2.000"),
    (["doctor"], "0 problems"),
]


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, and uv, which fills it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def create(self) -> None:
        uv("venv", "--quiet", "--python", sys.executable, str(self.folder))

    def install(self, *words: str) -> None:
        uv("pip", "install", "--quiet", "--python", str(self.python), *words)

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return _run([str(self.python), "-c", code], self.folder).strip()

    def try_out(self) -> None:
        """Type ``COMMANDS`` in an empty folder. Raises SystemExit when one does not answer as it should."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "own.sh").write_text(SCRIPT, encoding="utf-8")
            for words, expected in COMMANDS:
                started = time.monotonic()
                answer = _run([str(self.folder / "bin" / "ablate"), *words], Path(folder))
                if expected not in answer:
                    raise SystemExit(f"ablate {' '.join(words)} does not say '{expected}':\n{answer}")
                print(f"  {time.monotonic() - started:5.0f} s  ablate {' '.join(words)}", flush=True)


def uv(*words: str) -> str:
    """What uv prints. It finds what pip finds, also where packages lie on a disk."""
    tool = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if tool is None:
        raise SystemExit(f"needs uv: {sys.executable} -m pip install uv")
    return _run([tool, *words], REPOSITORY)


def _run(command: Sequence[str], folder: Path) -> str:
    """Output and messages of a command that must end well."""
    unset = ("PYTHONPATH", "ABLATE_STORE", "MLFLOW_TRACKING_URI", "VIRTUAL_ENV")
    settings = {name: value for name, value in os.environ.items() if name not in unset}
    if links := settings.get("PIP_FIND_LINKS"):
        settings.setdefault("UV_FIND_LINKS", links)
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def build(output: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution of which it was built, anew in ``output``."""
    for old in output.glob("ablate-*"):
        old.unlink()
    uv("build", "--quiet", "--out-dir", str(output), str(REPOSITORY))
    (wheel,), (source,) = output.glob("ablate-*.whl"), output.glob("ablate-*.tar.gz")
    return wheel, source


def try_newest(file: Path, folder: Path, torch: str) -> str:
    """Install the newest packages that are admitted, and try them. Returns the version of torch that came."""
    environment = Environment(folder)
    environment.create()
    pin = folder / "torch.txt"
    pin.write_text(f"{torch}\n", encoding="utf-8")
    environment.install(str(file), "-c", str(pin))
    print(f"{file.name} with the newest packages, such as mlflow {environment.version('mlflow')}", flush=True)
    environment.try_out()
    return environment.version("torch")


def try_oldest(wheel: Path, folder: Path, torch: str) -> None:
    """Install the oldest packages that pyproject.toml admits, but this torch, and try them."""
    environment = Environment(folder)
    environment.create()
    pin, packages = folder / "torch.txt", folder / "oldest.txt"
    pin.write_text(f"torch=={torch}\n", encoding="utf-8")
    python = ["--python", str(environment.python), "--resolution", "lowest-direct"]
    uv("pip", "compile", "--quiet", *python, "-c", str(pin), "-o", str(packages), "pyproject.toml")
    environment.install("-r", str(packages))
    environment.install("--no-deps", str(wheel))
    print(
        f"{wheel.name} with the oldest packages, such as mlflow {environment.version('mlflow')}", flush=True
    )
    environment.try_out()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "dist", help="where to build (default: dist)"
    )
    parser.add_argument(
        "--torch", default="torch", help="which one, such as torch==2.13.0 (default: the newest)"
    )
    given = parser.parse_args()
    wheel, source = build(given.output.resolve())
    with tempfile.TemporaryDirectory() as folder:
        torch = try_newest(wheel, Path(folder) / "newest", given.torch)
        try_newest(source, Path(folder) / "source", f"torch=={torch}")
        try_oldest(wheel, Path(folder) / "oldest", torch)
    print(f"{wheel.name} and {source.name} can be published; they lie in {wheel.parent}")


if __name__ == "__main__":
    main()
