"""Writes the page on the built-in study's settings, factors and scores, from what the code says of them.

python -m tests.docs.settings_page
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.design.conditions import show
from ablate.mtl.config import PROFILES, RunConfig
from ablate.mtl.definition import subject
from ablate.mtl.metrics.declared import DECLARED
from ablate.mtl.named_classes import CLASS_METRICS, CONFUSION, METRICS
from ablate.subject.metrics import Metric

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}

HEAD = """# Settings, factors and scores of the built-in study

What decides a run of the network that comes with ablate, and nothing else does. `python -m
tests.docs.settings_page` writes this page from the code; of a module of yours, `ablate factors --subject
FILE.py` shows the same.

Each setting has a name with a dot. `--set optim.epochs=20` sets it in all runs of a study, `--levels
optim.lr=0.01,0.02` varies it, and a study file says either under `[set]`, `[conditions]` or `[factors]`. A
*profile* (`--profile paper`) changes several settings at once. A *factor* is a short name for a setting
that one often varies, with levels that `--factors` takes when none are named.

## Factors

"""
OWN = """
The baseline has the value that the profile below has, in whatever order you name levels. To have a short
name of your own, or other levels, write a module with `FACTORS`; `--plugin` takes it, and so does
`plugins = [...]` in a study file:

<!-- file: my_factors.py -->
```python
import ablate

FACTORS = [ablate.Factor("rate", "optim.lr", (0.02, 0.01, 0.04), "learning rate of RAdam")]
```

```console
$ ablate factors --plugin my_factors.py
factor   default levels ...
...
rate     0.02, 0.01, 0.04 ...
...
$ ablate grid --factors rats --plugin my_factors.py --dry-run
ablate: unknown factor 'rats'; did you mean 'rate'?
```

## Settings

"""
SETTINGS = """The last column is where the paper (Imoto et al. 2022) has a setting, and its value there; "left
open" where it does not say, and "-" for what it does not have.
"""
SCORES = """
## Scores

What `--metrics`, `--where` and the claims of a study file name. They are fractions, which tables show in
per cent; in a filter or a margin, 0.02 is two points. A class is written in lower case with `_`: `(object)
impact` is `object_impact`, and `scene_confusion/A/B` is the share of clips of A that were taken for B.
Those marked * are compared when none is named. [What each counts](metrics.md).

"""
RESCORED = """
[`ablate rescore`](your-own-data.md#other-scores-nothing-trained-again) adds these to runs, and nothing is
trained for that:

"""


def page() -> str:
    return "".join(
        [
            HEAD,
            *_factors(),
            OWN,
            SETTINGS,
            *_sections(),
            SCORES,
            *_scores(rescored=False),
            RESCORED,
            *_scores(rescored=True),
        ]
    )


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = list(titles)
    yield _row(titles)
    yield _row("-" * 3 for _ in titles)
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _factors() -> Iterator[str]:
    rows = [
        (f"`{each.name}`", f"`{each.field}`", _levels(each.levels), each.help, each.inert_when or "never")
        for each in subject.known_factors.values()
    ]
    yield from _table(["factor", "sets", "levels", "what it varies", "cannot matter when"], rows)


def _levels(levels: Iterable[Any]) -> str:
    return ", ".join(f"`{show(level)}`" for level in levels)


def _sections() -> Iterator[str]:
    """A table for each section of the configuration, that of no section first."""
    schema = RunConfig.model_json_schema()
    fields = schema["properties"]
    sections = {
        name: schema["$defs"][each["$ref"].rpartition("/")[2]]
        for name, each in fields.items()
        if "$ref" in each
    }
    yield from _section(
        "Of the whole run", "", {name: fields[name] for name in RunConfig().flat() if "." not in name}
    )
    for name, section in sections.items():
        yield from _section(f"`{name}`", section["description"], section["properties"], f"{name}.")


def _section(title: str, text: str, fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    yield f"\n### {title}\n\n" + (f"{inspect.cleandoc(text)}\n\n" if text else "")
    profiles = {name: subject.profile(name).flat() for name in PROFILES}
    inert = {each.field: each.inert_when for each in [*subject.known_factors.values(), *subject.rules]}
    rows = []
    for field, schema in fields.items():
        name = f"{prefix}{field}"
        defaults = [f"`{show(flat[name])}`" for flat in profiles.values()]
        says = schema["description"] + (f"; cannot matter when: {inert[name]}" if inert.get(name) else "")
        rows.append([f"`{name}`", _kind(schema), *defaults, says, schema["paper"]])
    yield from _table(
        ["setting", "is", *(f"profile {name}" for name in PROFILES), "what it does", "in the paper"], rows
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words: ``number, > 0, <= 4``."""
    if "enum" in schema:
        return _levels(schema["enum"])
    bounds = [f"{sign} {schema[key]:,}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([TYPES[schema["type"]], *bounds])


def _scores(*, rescored: bool) -> Iterator[str]:
    """The scores of every run, or those that are computed later."""
    every_run = (*METRICS, *CLASS_METRICS)
    chosen = [each for each in DECLARED if (each.name.removesuffix("/*") not in every_run) == rescored]
    rows = [(_name(each), "more" if each.best == "max" else "less") for each in chosen]
    yield from _table(["score", "better is"], rows)


def _name(metric: Metric) -> str:
    kind = metric.name.replace("/*", "/A/B" if metric.name.startswith(CONFUSION) else "/CLASS")
    return f"`{kind}`" + (" *" if metric.headline else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
