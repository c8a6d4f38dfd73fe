"""The one configuration of a run."""

import pytest

from ablate.ground.errors import ConfigError
from ablate.ground.wording import suggest
from ablate.mtl.config import PROFILES, RunConfig
from ablate.mtl.definition import subject
from ablate.subject.settings import fields_of

FIELDS = fields_of(RunConfig)


def test_the_defaults_are_the_papers() -> None:
    config = RunConfig()
    assert (config.loss.alpha, config.loss.beta, config.grl.strength) == (1e-4, 1.0, 1.0)
    assert (config.optim.batch_size, config.optim.epochs, config.optim.lr) == (32, 100, 1e-3)
    assert config.model.width == 1.0
    assert config.tasks == "both"
    assert subject.profile("paper") == config


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_valid(name: str) -> None:
    assert isinstance(subject.profile(name), RunConfig)


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in FIELDS.values())


def test_strings_are_parsed_by_the_type_of_their_field() -> None:
    config = RunConfig().override({"optim.lr": "2e-3", "optim.epochs": "7", "tasks": "scene"})
    assert (config.optim.lr, config.optim.epochs, config.tasks) == (2e-3, 7, "scene")


def test_all_errors_come_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig().override({"optim.rl": 1, "optim.epochs": "many", "loss.alpha": -1})
    assert caught.value.problems == [
        "unknown setting 'optim.rl'; did you mean 'optim.lr'?",
        "loss.alpha = -1: input should be greater than or equal to 0",
        "optim.epochs = 'many': input should be a valid integer, unable to parse string as an integer",
    ]


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        subject.profile("quik")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().optim.lr = 1.0  # type: ignore[misc]


def test_flat_lists_every_scalar() -> None:
    flat = RunConfig().flat()
    assert flat.keys() == FIELDS.keys()
    assert flat["optim.lr"] == 1e-3


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("fan", ("fan",)),
        ("(object) impact,fan", ("fan", "object_impact")),
        ("fan + object_impact+ fan", ("fan", "object_impact")),
        ("none", ()),
        ("", ()),
        ("none+fan", ("fan",)),
    ],
)
def test_classes_to_leave_out_have_one_spelling(text: str, classes: tuple[str, ...]) -> None:
    config = RunConfig().override({"labels.without": text})
    assert config.removed_events == classes
    assert config.labels.without == ("+".join(classes) or "none")


def test_an_endless_value_is_shown_in_part() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig().override({"optim.lr": "9" * 5000})
    (problem,) = caught.value.problems
    assert problem.startswith("optim.lr = '9999")
    assert "9 ... 9" in problem
    assert len(problem) < 250


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting '\\x1b\[31m'"):
        RunConfig().override({"\x1b[31m": 1})


def test_of_many_known_names_the_first_are_told() -> None:
    assert suggest("?", [f"c{number}" for number in range(1000)]).endswith("c38, c39 and 960 more")
