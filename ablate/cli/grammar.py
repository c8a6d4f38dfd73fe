"""The grammar of the command line, as completion needs it: read off the commands themselves."""

from enum import Enum
from typing import Any, get_args

import typer

from ablate.design.conditions import show
from ablate.subject.registry import built_in


def describe() -> dict[str, Any]:
    """Commands, their options and arguments; factors, settings and metrics of the built-in subject."""
    from ablate.cli.app import app

    subject = built_in()
    factors = subject.known_factors
    return {
        **_command(typer.main.get_command(app)),
        "factors": {
            name: {"help": factor.help, "levels": [show(level) for level in factor.levels]}
            for name, factor in factors.items()
        },
        "settings": list(factors.settings),
        "metrics": [metric.name for metric in subject.metrics if not metric.is_family],
    }


def _command(command: Any) -> dict[str, Any]:
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    options = [param for param in params if param.param_type_name == "option"]
    arguments = [param for param in params if param.param_type_name == "argument"]
    commands = getattr(command, "commands", None)
    content: dict[str, Any] = {
        "help": (command.help or "").strip().partition("\n")[0],
        "options": {
            name: _option(param) for param in options for name in (*param.opts, *param.secondary_opts)
        },
        "arguments": [
            {"name": (param.metavar or param.name or "").upper(), "values": _choices(param)}
            for param in arguments
        ],
    }
    return (
        content
        if commands is None
        else {**content, "commands": {name: _command(each) for name, each in commands.items()}}
    )


def _option(param: Any) -> dict[str, Any]:
    takes = not (getattr(param, "is_flag", False) or getattr(param, "count", False))
    return {
        "help": (param.help or "").split(".  [")[0],
        "takes": takes,
        "values": _choices(param) if takes else [],
    }


def _choices(param: Any) -> list[str]:
    kind = param.type_descriptor.annotation if hasattr(param, "type_descriptor") else None
    kinds = [kind, *get_args(kind)]  # one, or a list of them
    return [
        str(each.value)
        for each in next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)), ())
    ]
