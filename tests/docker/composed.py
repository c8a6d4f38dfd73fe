"""The files in ``docker/`` as Docker reads them: variables filled in, stages with those below."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def services(settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services of ``compose.yaml`` by name, as they are with these settings in ``docker/.env``."""
    return composed(settings)["services"]


def composed(settings: dict[str, str]) -> dict[str, Any]:
    """The whole file, merged and filled in: values only, as Compose does it."""
    loaded = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return _filled(loaded, settings)


def _filled(value: Any, settings: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, settings) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, settings) for item in value]
    return fill_in(value, settings) if isinstance(value, str) else value


def fill_in(text: str, settings: dict[str, str]) -> str:
    """``${NAME}`` and ``${NAME:-else}``, where empty counts as not set."""

    def one(found: re.Match[str]) -> str:
        return settings.get(found[1]) or found[2] or ""

    filled = VARIABLE.sub(one, text)
    assert "$" not in filled, f"a form of variable that this reader does not know: {text}"
    return filled


@dataclass(frozen=True)
class Image:
    """What a stage of the Dockerfile leaves to containers, that of the stages below it included."""

    environment: dict[str, str]
    entrypoint: list[str]
    user: str
    health: list[str]


def image(target: str) -> Image:
    environment: dict[str, str] = {}
    found: dict[str, str] = {}
    for instruction, rest in _instructions(target):
        if instruction == "ENV":
            environment |= dict(re.findall(r"(\w+)=(\S+)", rest))
        found[instruction] = rest
    health = found.get("HEALTHCHECK", "CMD []").partition("CMD ")[2]
    return Image(environment, json.loads(found["ENTRYPOINT"]), found["USER"], json.loads(health))


def _instructions(target: str) -> list[tuple[str, str]]:
    """Of a stage after those of the stages that it is from."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for line in filter(None, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = (base, [])
        elif name:
            stages[name][1].append((instruction, rest.strip()))
    base, own = stages[target]
    return (_instructions(base) if base in stages else []) + own
