"""Study files: bytes changed in the project's own, and TOML of wrong kinds in every place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.studyfile import OF_FACTORS, read_study_file
from ablate.mtl.named_classes import check_classes
from ablate.mtl.starter import starter
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import CORPUS, mutated

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))
ORIGINALS = [starter("mine").encode(), *(file.read_bytes() for file in EXPERIMENTS)]

# Small enough that most of its edits reach the checks.
STUDY = {
    "": {
        "name": '"mine"',
        "question": '"why?"',
        "profile": '"quick"',
        "seeds": "2",
        "baseline": '"baseline"',
        "design": '"full"',
        "plugins": "[]",
        "zip": '[["alpha", "beta"]]',
        "also": '[{ factors = { alpha = [0, 1], beta = [0.5, 1] }, design = "both" }]',
        "full": "{ alpha = 0 }",
        "exclude": '[{ levels = { grl_pos = "S1", lambda = 10 }, reason = "diverges" },'
        ' { where = "lambda = 0 and grl_pos = S1", reason = "no gradient" }]',
        "set": "{ optim.epochs = 3 }",
    },
    "factors": {"grl_pos": '["none", "S1"]', "lambda": "[0, 1, 10]"},
    "claims.C1": {
        "text": '"it matters"',
        "metric": '"event_micro_f"',
        "better": '"baseline"',
        "worse": '["grl_pos=S1"]',
        "margin": "0.01",
        "interest": "0.02",
    },
    "published": {"source": '"a paper"'},
    "published.table3": {"metrics": '["scene_micro_f"]', "baseline": "[88.57]"},
}
NAMED = {
    **{header: rows for header, rows in STUDY.items() if header != "factors"},
    "": {key: value for key, value in STUDY[""].items() if key not in (*OF_FACTORS, "baseline")},
    "conditions": {"baseline": "{}", '"grl_pos=S1"': '{ grl_pos = "S1" }', "slow": "{ optim.lr = 1e-4 }"},
}
VALUES = st.sampled_from(
    (
        '""', '" "', '"x"', '"baseline"', '"S1"', '"a\\u001b[31m"', '"a\\u0000b"', '"a\\nb"', '"日本語"',
        '"../x"',
        f'"{"x" * 3000}"', f'"{"x" * 3000}.py"', '"1e309"', '"nan"', "'''a\nb'''", '"""\na\\\n  b"""',
        "0", "-1", "1", "7", "1_0", "0x1F", "0b11", "1000000000", "9223372036854775808", "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000, "0.5", "-0.0", "nan", "inf", "-inf", "1e308", "1e400", "5e-324", "true", "false",
        "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "[1]", '["x"]', "[[]]", "[1, 'a', {}]",
        "[{}]", '["none", "S1"]', "[0, 1, 10]", "[nan, nan]", "[-0.0, 0]", "{}", "{ a = 1 }",
        "{ a = { b = [] } }",
        '{ levels = {}, reason = "" }', "[" * 50 + "]" * 50, "[" * 3000 + "]" * 3000,
        "[" + "0.5, " * 3000 + "]",
        "{ x" + ".x" * 3000 + " = 1 }", "", "=", "[", '"', "# nothing",
    )
)  # fmt: skip
KEYS = st.sampled_from(
    (
        "name", "seeds", "set", "factors", "conditions", "exclude", "claims", "published", "plugins",
        "design", "zip", "full", "also", "where", "[[also]]\nfactors",
        "grl_pos", "lambda", "seed", "optim.lr", '"optim.lr"', '""', '" "', '"a\\u001b[2J"', '"a\\nb"', "x",
        "a.b.c",
        "x" * 2000, "worse", "than", "margin", "interest", "metrics", "levels", "reason", "x" + ".x" * 3000,
        "labels.without",
        "optim", "model.width", "set.optim.epochs", "claims.C1.text", "[[exclude]]\nlevels", "[set]\nlambda",
        "[claims]\nC1", "[factors]\nalpha", "[published]\ntable3",
    )
)  # fmt: skip
SECTIONS = st.sampled_from(("set", "conditions", "factors", "x", "claims", "claims.C2", "exclude"))


def as_toml(study: dict[str, dict[str, str]]) -> str:
    sections = []
    for header, rows in study.items():
        lines = [f"{key} = {value}" for key, value in rows.items()]
        sections += [*([f"[{header}]"] if header else []), *lines]
    return "\n".join(sections) + "\n"


@st.composite
def studies(draw: st.DrawFn) -> str:
    """A valid study with up to four of its values or keys replaced, lost or added."""
    study = {header: dict(rows) for header, rows in draw(st.sampled_from((STUDY, NAMED))).items()}
    for _ in range(draw(st.integers(1, 4))):
        header = draw(st.sampled_from(sorted(study)))
        rows = study[header]
        edit = draw(st.sampled_from(("value", "value", "value", "add", "lose", "rename", "section")))
        if edit == "add":
            rows[draw(KEYS)] = draw(VALUES)
        elif edit == "section":
            study[
                draw(st.sampled_from(("set", "conditions", "factors", "x", "claims", "claims.C2", "exclude")))
            ] = {draw(KEYS): draw(VALUES)}
        elif rows:
            key = draw(st.sampled_from(sorted(rows)))
            value = rows.pop(key)
            if edit == "value":
                rows[key] = draw(VALUES)
            elif edit == "rename":
                rows[draw(KEYS)] = value
    return as_toml(study)


def read(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with case("study files"):
        study = read_study_file(file).plan()
        assert study.conditions
        check_classes(study.expected, {"scene": ["home", "office"], "event": ["car", "fan"]})


@pytest.mark.parametrize("study", [STUDY, NAMED], ids=["factors", "conditions"])
def test_the_studies_that_are_changed_are_valid(tmp_path: Path, study: dict[str, dict[str, str]]) -> None:
    file = tmp_path / "study.toml"
    file.write_text(as_toml(study))
    assert read_study_file(file).plan().conditions


@pytest.mark.parametrize("file", sorted(CORPUS.glob("study/*")), ids=lambda file: file.name)
def test_what_once_broke(file: Path, tmp_path: Path) -> None:
    read(tmp_path / "study.toml", file.read_bytes())


@fuzzed(quick=60, share=0.5)
@given(content=mutated(ORIGINALS))
def test_changed_bytes(content: bytes, tmp_path: Path) -> None:
    read(tmp_path / "study.toml", content)


@fuzzed(quick=150, share=0.5)
@given(text=studies())
def test_wrong_values_and_keys(text: str, tmp_path: Path) -> None:
    read(tmp_path / "study.toml", text.encode())


LARGE = {
    "text": "a = '''\n" + "x\n" * 100_000 + "'''",
    "list": "a = [\n" + "1,\n" * 100_000 + "]",
    "comments": "a = [\n" + "# a comment\n" * 50_000 + "]",
    "blank lines": "\n" * 300_000,
    "sections": "".join(f"[t{n}]\na = 1\n" for n in range(5_000)),
    "key": "a" + ".a" * 100_000 + " = 1",
    "open lists": "a = " + "[" * 100_000,
    "open tables": "a = " + "{a=" * 100_000,
    "escapes": 'a = "' + "\\u0041" * 100_000 + '"',
    "more than a page": "# a comment\n" * 100_000,
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_files_take_no_long(kind: str, tmp_path: Path) -> None:
    read(tmp_path / "study.toml", f'name = "mine"\n{LARGE[kind]}\n'.encode())
