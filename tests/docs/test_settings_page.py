"""The page on settings says what the code says; ``python -m tests.docs.settings_page`` writes it anew."""

from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from tests.docs import settings_page


def test_the_page_is_up_to_date() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page()


def test_every_setting_and_factor_is_on_the_page_and_says_what_it_is() -> None:
    page = settings_page.page()
    assert len(RunConfig().flat()) > 20
    for name, text in RunConfig().help.items():
        assert text, name
        assert page.count(f"\n| `{name}` | ") == (2 if name in subject.known_factors else 1), name
    for name, factor in subject.known_factors.items():
        assert f"| `{name}` | `{factor.field}` | " in page


def test_bounds_and_choices_are_in_words() -> None:
    page = settings_page.page()
    assert "| `model.width` | number, > 0, <= 4 | `0.125` | `1` |" in page
    assert "| `kernels` | `fast`, `plain` | `fast` | `fast` |" in page
