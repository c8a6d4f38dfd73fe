"""Options that several commands share, as one parameter of each."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from ablate.cli.unfolded import unfolded


@dataclass(frozen=True)
class Oven:
    heat: Annotated[int, typer.Option("--heat", help="Degrees.")] = 180
    fan: Annotated[bool, typer.Option("--fan")] = False


def bake(*words: str) -> str:
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @unfolded
    def cake(*, name: Annotated[str, typer.Argument()] = "plain", oven: Oven, minutes: int = 40) -> None:
        """Bake a cake."""
        print(name, oven, minutes)

    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_gets_the_data_class_made_of_its_options() -> None:
    assert bake("rich", "--heat", "200", "--minutes", "50") == "rich Oven(heat=200, fan=False) 50\n"
    assert bake("--fan") == "plain Oven(heat=180, fan=True) 40\n"


def test_the_options_stand_where_the_parameter_stood_and_the_help_stays() -> None:
    text = bake("--help")
    assert "Bake a cake." in text
    assert text.index("--heat") < text.index("--fan") < text.index("--minutes")
    assert "[default: 180]" in text
