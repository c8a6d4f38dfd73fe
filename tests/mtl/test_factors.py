"""What can be varied, and when it is inert."""

from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.subject.factors import Factor, load_plugin
from ablate.subject.settings import fields_of

KNOWN = subject.known_factors
FIELDS = fields_of(RunConfig)


@pytest.mark.parametrize("factor", KNOWN.values(), ids=lambda factor: factor.name)
def test_every_factor_sets_a_field_and_parses_its_own_levels(factor: Factor) -> None:
    assert factor.field in FIELDS
    assert factor.levels
    assert [KNOWN.parse(factor, str(level)) for level in factor.levels] == list(factor.levels)
    assert factor.help


@pytest.mark.parametrize(
    ("factor", "bad"),
    [
        ("grl_pos", "S3"),
        ("lambda", "-0.1"),
        ("lambda", "inf"),
        ("lambda", "nan"),
        ("lambda", "one"),
        ("alpha", "-1"),
        ("beta", ""),
        ("shuffle", "scenes"),
        ("tasks", "none"),
        ("seed", "-1"),
        ("seed", "1.5"),
        ("optim.epochs", "0"),
        ("model.width", "0"),
    ],
)
def test_a_level_out_of_range_is_refused(factor: str, bad: str) -> None:
    with pytest.raises(ConfigError, match="should be"):
        KNOWN.parse(KNOWN.find(factor), bad)


def test_an_unknown_factor_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown factor 'grl_po'; did you mean 'grl_pos'"):
        KNOWN.find("grl_po")


def test_a_dotted_name_finds_the_factor_of_that_field() -> None:
    assert KNOWN.find("grl.strength") is KNOWN["lambda"]
    assert KNOWN.find("optim.lr").field == "optim.lr"


@pytest.mark.parametrize(
    ("factor", "settings", "instead"),
    [
        ("lambda", {"grl.strength": 0.1}, 1.0),
        ("lambda", {"grl.strength": 0.1, "grl.position": "S1"}, None),
        ("grl_pos", {"grl.position": "S1", "tasks": "event"}, "none"),
        ("grl_pos", {"grl.position": "E2", "tasks": "scene"}, "none"),
        ("grl_pos", {"grl.position": "E2", "tasks": "event"}, None),
        ("grl_pos", {"grl.position": "S1", "loss.alpha": 0}, "none"),
        ("grl_pos", {"grl.position": "E1", "loss.beta": 0}, "none"),
        ("shuffle", {"labels.shuffle": "scene", "tasks": "event"}, "none"),
        ("shuffle", {"labels.shuffle": "both", "tasks": "event"}, "event"),
        ("shuffle", {"labels.shuffle": "both"}, None),
        ("shuffle", {"labels.shuffle": "both", "loss.alpha": 0}, "event"),
        ("alpha", {"loss.alpha": 1, "tasks": "event"}, 1e-4),
        ("alpha", {"loss.alpha": 1, "tasks": "scene"}, None),
        ("beta", {"loss.beta": 2, "tasks": "scene"}, 1.0),
        ("beta", {"loss.beta": 2}, None),
        ("without", {"labels.without": "fan", "tasks": "scene"}, "none"),
        ("without", {"labels.without": "fan", "tasks": "event"}, None),
        ("without", {"labels.without": "fan", "loss.beta": 0}, None),
        ("labels.redraw", {"labels.redraw": "every_epoch"}, "once"),
        ("labels.redraw", {"labels.redraw": "every_epoch", "labels.shuffle": "scene"}, None),
        ("scoring.threshold", {"scoring.threshold": 0.3, "tasks": "scene"}, 0.5),
        ("loss.event_reduction", {"loss.event_reduction": "sum", "tasks": "scene"}, "mean"),
        ("tasks", {"tasks": "scene"}, None),
    ],
)
def test_a_level_that_cannot_matter_is_inert(
    factor: str, settings: dict[str, object], instead: object
) -> None:
    found = KNOWN.find(factor).inert(RunConfig().override(settings))
    assert (found.instead if found else None) == instead


def test_a_plugin_adds_factors(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from ablate import Factor\n"
        "FACTORS = {'rate': Factor('rate', 'optim.lr', (1e-3, 1e-2), 'learning rate')}\n"
    )
    assert load_plugin(plugin, KNOWN.settings)["rate"].levels == (1e-3, 1e-2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such Python file"),
        ("x = 1\n", "define FACTORS"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("FACTORS = [3]\n", "not a Factor"),
        (
            "from ablate import Factor\nFACTORS = [Factor('seed', 'optim.lr', (1,), '')]\n",
            "cannot be called 'seed'",
        ),
        (
            "from ablate import Factor\nFACTORS = [Factor('a', 'optim.rate', (1,), '')]\n",
            "optim.lr",
        ),
    ],
)
def test_a_bad_plugin_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    plugin = tmp_path / "mine.py"
    if text is not None:
        plugin.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_plugin(plugin, KNOWN.settings)
