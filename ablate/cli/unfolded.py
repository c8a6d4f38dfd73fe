"""Options that several commands share, as one parameter: a data class whose fields are the options."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any


def unfolded(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer is to see it: a parameter that is a data class becomes the options of its fields.

    They stand where the parameter stood, with the fields' defaults; the command is called with the data class
    made of them. Its parameters are for keywords alone, so that one without a default may stand anywhere.
    """
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }

    @functools.wraps(command)
    def spelled_out(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        command(**values)

    parameters = [
        option
        for parameter in signature.parameters.values()
        for option in (_options(groups[parameter.name]) if parameter.name in groups else [parameter])
    ]
    spelled_out.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    spelled_out.__annotations__ = {option.name: option.annotation for option in parameters}
    return spelled_out


def _options(group: Any) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type
        )
        for each in fields(group)
    ]
