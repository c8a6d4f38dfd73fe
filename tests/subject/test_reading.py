"""Which settings are noticed as read."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import ablate
from ablate.subject.reading import unread, watched
from ablate.subject.settings import Settings


class Optim(ablate.Section):
    lr: float = ablate.setting(0.1, gt=0)
    momentum: float = 0.9


class Config(ablate.Config):
    width: int = 3
    depth: int = 2
    optim: Optim = Optim()

    @property
    def size(self) -> int:
        return self.width * 10


ALL = {"width", "depth", "optim.lr", "optim.momentum", "seed"}


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (lambda config: config.width, {"width"}),
        (lambda config: config.optim, set()),
        (lambda config: config.optim.lr, {"optim.lr"}),
        (lambda config: config.get("optim.momentum"), {"optim.momentum"}),
        (lambda config: config.size, {"width"}),
        (lambda config: vars(config.optim), {"optim.lr", "optim.momentum"}),
        (lambda config: config.optim.model_dump(), {"optim.lr", "optim.momentum"}),
        (repr, set()),
        (str, set()),
        (lambda config: config.flat(), ALL),
        (lambda config: config.model_dump(), ALL),
        (lambda config: config.model_dump_json(), ALL),
        (dict, ALL),
        (lambda config: config.override({"width": 4}), ALL),
        (lambda config: config.model_copy(update={"width": 4}), ALL),
        (copy.deepcopy, ALL),
        (pickle.dumps, ALL),
        (hash, ALL),
        (lambda config: config == Config(), ALL),
    ],
)
def test_reading_is_noticed(read: Callable[[Config], Any], names: set[str]) -> None:
    config, seen = watched(Config())
    read(config)
    assert seen == names


def test_a_watched_configuration_is_as_the_other_in_all_else() -> None:
    plain = Config(width=5, optim=Optim(lr=0.2))
    config, _ = watched(plain)
    assert isinstance(config, Config)
    assert isinstance(config.optim, Optim)
    assert config == plain
    assert plain == config
    assert config.optim == plain.optim
    assert hash(config) == hash(plain)
    assert repr(config) == repr(plain)
    assert config.flat() == plain.flat()
    assert type(pickle.loads(pickle.dumps(config))) is Config
    assert config.model_copy(update={"width": 4}).width == 4
    assert config.override({"optim.lr": "0.3"}).optim.lr == 0.3
    with pytest.raises(ValueError, match="frozen"):
        config.width = 4  # type: ignore[misc]
    assert config.width == 5


def test_two_watched_configurations_do_not_see_each_other() -> None:
    one, seen_of_one = watched(Config())
    other, seen_of_other = watched(Config(width=7))
    assert (one.width, other.depth) == (3, 2)
    assert (seen_of_one, seen_of_other) == ({"width"}, {"depth"})
    assert Config().width == 3


def test_the_value_stays_the_same_however_often_it_is_read() -> None:
    config, seen = watched(Config(width=4))
    assert [config.width for _ in range(3)] == [4, 4, 4]
    assert seen == {"width"}


def test_what_was_never_read_is_told_but_for_the_seed() -> None:
    config, seen = watched(Config())
    assert config.width
    assert config.optim.lr
    assert unread(Settings(config.flat()), {"width", "optim.lr"}) == ("depth", "optim.momentum")
    assert unread(Settings(Config().flat()), seen) == ()  # flat() reads all
