"""The options that say what is trained, which several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ablate.api import subjects
from ablate.api.subjects import Code

ScriptOption = Annotated[
    str | None,
    typer.Option(
        "--script",
        metavar="COMMAND",
        help="Train with a program of yours: train.py, or a command such as 'python train.py --lr={lr}'.",
    ),
]
ModuleOption = Annotated[
    Path | None,
    typer.Option("--subject", metavar="FILE.py", help="Train with a Python module of yours."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME:max|min[:select][=PATTERN]",
        help="A score of the script, and how to find it in its output; repeatable.",
    ),
]
UsesOption = Annotated[
    list[Path] | None,
    typer.Option("--uses", metavar="PATH", help="A file or folder that the script's results depend on."),
]
ShellOption = Annotated[bool, typer.Option("--shell", help="Run the script's command in a shell.")]
NameOption = Annotated[
    str | None,
    typer.Option("--subject-name", metavar="NAME", help="What the script is called.  [default: its file]"),
]
GpusOption = Annotated[
    int, typer.Option("--gpus-per-run", min=1, max=1024, help="Devices that a run of the script needs.")
]
CodeOption = Annotated[
    Code | None,
    typer.Option("--code", help="What a change of the code means: new results, or the same."),
]


@dataclass(frozen=True)
class Chosen(subjects.Chosen):
    """``api.subjects.Chosen`` as options."""

    script: ScriptOption = None
    module: ModuleOption = None
    metric: MetricOption = None
    uses: UsesOption = None
    shell: ShellOption = False
    subject_name: NameOption = None
    gpus_per_run: GpusOption = 1
