"""What the functions of ``import ablate`` return: answers for a terminal, a notebook and a script."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any


class Answer(ABC):
    """What a command would have shown. Nothing is printed unless it is asked for its text.

    ``print(answer)`` and a prompt show the command's table, a notebook shows it as HTML, and ``document`` is
    what the command prints with ``--format json``.
    """

    @abstractmethod
    def text(self, width: int | None = None) -> str:
        """As the command prints it on a terminal of ``width`` columns; None is without limit."""

    @property
    @abstractmethod
    def document(self) -> Mapping[str, Any]:
        """What the command prints with ``--format json``; see docs/json.md."""

    @abstractmethod
    def html(self) -> str:
        """A fragment of HTML."""

    def __str__(self) -> str:
        return self.text(shutil.get_terminal_size().columns).rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.html()


def html_of_markdown(text: str) -> str:
    """Markdown with tables as HTML."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def html_of_text(text: str) -> str:
    """Text as it stands, with every blank and line end."""
    return f'<pre style="line-height: 1.25">{escape(text)}</pre>'
