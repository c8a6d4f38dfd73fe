"""Which commands there are and what each does in a line. Its module is imported when it is called.

All modules of commands together take longer to import than most commands take to do their work.
"""

from collections.abc import MutableMapping
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
import typer.core

from ablate.subject.registry import built_in_commands

# Name -> its line of the help, which begins its docstring, and the function; in the order of the help.
COMMANDS = {
    "factors": ("List what can be varied, its levels, and when it is inert.", "ablate.cli.factors:factors"),
    "grid": ("Train the combinations that are not trained yet.", "ablate.cli.grid:grid"),
    "search": (
        "Search for the best condition with Optuna, then train the best anew and see how much was luck.",
        "ablate.cli.search:search",
    ),
    "study": ("Train what a study file describes and is not trained yet.", "ablate.cli.study:study"),
    "decide": (
        "Train a study's claims to verdicts: look at planned numbers of seeds, stop what is decided.",
        "ablate.cli.decide:decide",
    ),
    "noise": (
        "Show how much scores differ between seeds, and what so many seeds can tell apart.",
        "ablate.cli.noise:noise",
    ),
    "subject": (
        "Write a subject of your own to start from, or try out the one that you have.",
        "ablate.cli.subject:subject",
    ),
    "status": (
        "Show how far a study is, per condition and seed, and where it is under way.",
        "ablate.cli.status:status",
    ),
    "watch": (
        "Watch a study train, wherever that is: states, curves, time left, workers and failures.",
        "ablate.cli.watch:watch",
    ),
    "failures": (
        "Group a study's failed runs by what they failed of, and say how to train them again.",
        "ablate.cli.failures:failures",
    ),
    "cancel": (
        "End a study's training on all hosts, and its jobs of Slurm; its runs save where they are.",
        "ablate.cli.cancel:cancel",
    ),
    "runs": ("List a study's runs with their scores and states.", "ablate.cli.runs:runs"),
    "show": (
        "Show everything of one run: settings, scores, classes, files; or its log.",
        "ablate.cli.show:show",
    ),
    "reproduce": (
        "Train a run again from its record, and say whether the numbers agree.",
        "ablate.cli.reproduce:reproduce",
    ),
    "diff": (
        "Compare two runs: the settings in which they differ, and their metrics.",
        "ablate.cli.diff:diff",
    ),
    "compare": ("Compare a study's conditions over their seeds.", "ablate.cli.compare:compare"),
    "claims": (
        "Judge a study's claims: supported, refuted or inconclusive, with the evidence.",
        "ablate.cli.claims:claims",
    ),
    "effects": (
        "Show what each factor does, and how that depends on the other factors.",
        "ablate.cli.effects:effects",
    ),
    "report": (
        "Write a study's report: one HTML file with everything in it.",
        "ablate.cli.report:report",
    ),
    "bundle": ("Write a study to one file, or check such a file.", "ablate.cli.bundle:bundle"),
    "ui": ("Browse the results in MLflow's web interface, until Ctrl-C.", "ablate.cli.ui:ui"),
    "sync": ("Complete MLflow from a study's run folders.", "ablate.cli.sync:sync"),
    "doctor": (
        "Check the store, its runs, the data, MLflow and this machine; say what is wrong and how to mend it.",
        "ablate.cli.doctor:doctor",
    ),
    "gc": (
        "Remove what no study needs: run folders, checkpoints, data and files of commands that were killed.",
        "ablate.cli.gc:gc",
    ),
    "import": ("Make a study of runs that were trained elsewhere.", "ablate.cli.import_:import_"),
}


class Announced:
    """A command of which only the name and the line are known until more is asked for."""

    hidden = False

    def __init__(self, name: str, line: str, place: str) -> None:
        self.name = name
        self._line = line
        self._place = place

    def get_short_help_str(self, _limit: int = 45) -> str:
        """The line as it is; the help wraps it."""
        return self._line

    @cached_property
    def _loaded(self) -> Any:
        """The command itself, from the function or the typer application of its own commands."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            function = found
            found = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            found.command(self.name)(function)
        command = typer.main.get_command(found)
        command.name = self.name
        return command

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loaded, attribute)


class Lazily(typer.core.TyperGroup):
    """The group of all commands, with their lines in its help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: MutableMapping[str, Any] = {
            name: Announced(name, line, place)
            for name, (line, place) in {**COMMANDS, **built_in_commands()}.items()
        }
