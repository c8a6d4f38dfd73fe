"""A subject's configuration: sections, bounds, and what is said of bad values."""

import pytest
from pydantic import model_validator

from ablate.ground.errors import ConfigError
from ablate.subject.settings import Config, Section, Settings, fields_of, setting


class Optim(Section):
    lr: float = setting(0.1, help="learning rate", gt=0)
    steps: int = setting(10)


class Training(Config):
    depth: int = setting(2, help="layers", ge=1)
    optim: Optim = Optim()

    @model_validator(mode="after")
    def _fits(self) -> "Training":
        if self.depth > self.optim.steps:
            raise ValueError(f"depth = {self.depth} is more than optim.steps = {self.optim.steps}")
        return self


def test_the_fields_of_sections_have_dotted_names_and_the_seed_comes_last() -> None:
    fields_of.cache_clear()
    assert list(fields_of(Training)) == ["depth", "optim.lr", "optim.steps", "seed"]
    assert Training().flat() == {"depth": 2, "optim.lr": 0.1, "optim.steps": 10, "seed": 0}


def test_each_setting_has_its_help() -> None:
    assert Training().help["optim.lr"] == "learning rate"
    assert Training().help["optim.steps"] == ""
    assert Training().help["seed"] == "the replicate: what is random is drawn from it"


def test_a_seed_is_a_number_of_32_bits() -> None:
    assert Training().override({"seed": 2**32 - 1}).seed == 2**32 - 1
    for seed in (2**32, -1):
        with pytest.raises(ConfigError, match=f"seed = {seed}: input should be"):
            Training().override({"seed": seed})


def test_settings_that_do_not_go_together_are_told_by_the_subjects_own_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        Training().override({"depth": 11})
    assert caught.value.problems == ["depth = 11 is more than optim.steps = 10"]


def test_a_bad_value_is_told_with_its_name_and_the_rule() -> None:
    with pytest.raises(ConfigError) as caught:
        Training().override({"optim.lr": 0, "depth": "0"})
    assert caught.value.problems == [
        "depth = '0': input should be greater than or equal to 1",
        "optim.lr = 0: input should be greater than 0",
    ]


def test_the_seeds_of_a_condition_share_all_other_settings() -> None:
    zero = Settings(Training().flat())
    seven = zero.with_seed(7).with_seed(8).with_seed(7)
    assert dict(seven.values) == seven.flat() == {**Training().flat(), "seed": 7}
    assert (seven.get("depth"), seven.get("seed"), len(seven.values)) == (2, 7, 4)
    assert seven.with_seed(0) == zero
    assert zero.get("seed") == 0
