"""Writes the page on JSON, and the JSON Schema of each document, from what the code says of them.

python -m tests.docs.json_page
"""

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired, get_args, get_origin

from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from ablate.ground import documents
from ablate.mtl import documents as of_subject

DOCS = Path(__file__).parents[2] / "docs"
PAGE, SCHEMAS = DOCS / "json.md", DOCS / "json-schemas.json"
EXIT_CODES = {
    "0": "done",
    "1": "runs failed, have not finished or are damaged, or the doctor found a problem; a document is there",
    "2": "wrong usage or bad input: nothing on standard output, a sentence a problem on standard error",
    "130": "interrupted or cancelled; runs have saved where they are, and the same command goes on",
}
WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "any",
}
HEAD = """# JSON for scripts and agents

Every command that shows something takes `--format json`. Standard output is then one JSON document and
nothing else; progress, news and problems are on standard error. Numbers that are undefined or not finite are
`null`; scores are as stored (fractions, not per cent), times are seconds, and sizes bytes. From Python it is
the `document` of an [answer](python.md).

`schema` says what a document is and in which version, such as `ablate.status/1`. A field that is taken away
or means something else makes a new version; a new field does not, so ignore fields that you do not know. The
same as JSON Schema: [json-schemas.json](json-schemas.json).

```sh
ablate status paper --format json | jq '.counts.finished'
ablate runs paper --format json | jq -r '.runs[] | select(.state == "failed") | .log'
```

## Exit codes

"""


def known() -> dict[str, Any]:
    """The class of each document by its ``schema``, in alphabetical order."""
    found = {}
    for module in (documents, of_subject):
        for kind in vars(module).values():
            if is_typeddict(kind) and "schema" in kind.__annotations__:
                hints = typing.get_type_hints(kind)
                found[get_args(hints["schema"])[0]] = kind
    return dict(sorted(found.items()))


def page() -> str:
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    parts = "\n".join(_section(schema, kind) for schema, kind in known().items())
    return f"{HEAD}| code | meaning |\n|---|---|\n{codes}\n## Documents\n\n{parts}"


def schemas() -> str:
    content = {schema: TypeAdapter(kind).json_schema() for schema, kind in known().items()}
    return json.dumps(content, indent=1) + "\n"


def _section(schema: str, kind: Any) -> str:
    rows = "".join(f"{row}\n" for row in _rows(kind, ""))
    text = " ".join(str(kind.__doc__).split())
    return f"### {schema}\n\n{text}\n\n| field | type | |\n|---|---|---|\n{rows}"


def _rows(kind: Any, prefix: str) -> Iterator[str]:
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if name == "schema":
            continue
        inner, meaning, optional = _parts(hint)
        word = _word(inner) + ("; not always there" if optional else "")
        yield f"| `{prefix}{name}` | {word} | {meaning} |"
        nested = _nested(inner)
        if nested is not None:
            yield from _rows(nested, f"{prefix}{name}{'[]' if get_args(inner) else ''}.")


def _parts(hint: Any) -> tuple[Any, str, bool]:
    """The type, what is said of it, and whether the field may be missing."""
    meaning, optional = "", False
    while get_origin(hint) in (Annotated, NotRequired):
        if get_origin(hint) is NotRequired:
            optional, hint = True, get_args(hint)[0]
        else:
            meaning, hint = hint.__metadata__[0], get_args(hint)[0]
    return hint, str(meaning), optional


def _nested(kind: Any) -> Any:
    """The record that a field is, or has a list or mapping of."""
    if is_typeddict(kind):
        return kind
    return next((each for each in get_args(kind) if is_typeddict(each)), None)


def _word(kind: Any) -> str:
    """A type in JSON's words."""
    if kind in WORDS:
        return WORDS[kind]
    if is_typeddict(kind):
        return "object"
    name = getattr(get_origin(kind), "__name__", "")
    arguments = [_parts(each)[0] for each in get_args(kind)]
    if name == "Sequence":
        return f"list of {_word(arguments[0])}"
    if name == "Mapping":
        return f"object of {_word(arguments[1])}"
    return " or ".join(map(_word, arguments))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMAS.write_text(schemas(), encoding="utf-8")
