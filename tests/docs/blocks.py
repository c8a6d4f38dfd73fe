"""The fenced blocks of the pages, and what each says of itself.

A line above a block, which no reader of a page sees, says what is to be done with it:

    <!-- file: train.py -->           it is written there
    <!-- part of: ablate compare -->  it is among what the command prints
    <!-- numbers vary -->             its words are compared; its numbers are of some training or machine
    <!-- lines vary: torch, disk -->  lines are not compared that have one of these as first or second word
    <!-- on another machine -->       it is typed where the files of the first one are, and not its store
    <!-- run by: tests/x.py -->       there, and not where the others are
    <!-- not run: slurm -->           for one of the ``REASONS``

Two of them are joined by a semicolon. They stand there and not behind the language, since the site takes a
fence with more than a language for text. CONTRIBUTING.md has how many there are:

python -m tests.docs.blocks
"""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docker/README.md",
    "examples/README.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
]
# Why a block is not run, and which tests have the real thing.
REASONS = {
    "form": "the form of a command, in which words stand for others",
    "minutes": "takes minutes or hours",
    "network": "fetches from the network; tests/mtl/data/test_download.py does from a server of this machine",
    "gpu": "needs a GPU, as tests/launch/test_sharing_gpu.py does",
    "slurm": "needs a Slurm cluster; tests/launch/test_slurm.py starts one",
    "ray": "needs a Ray cluster; tests/launch/test_ray.py starts one",
    "docker": "needs Docker; tests/docker/test_services.py runs the commands of the services without it",
    "server": "needs MLflow's server, with a log-in; tests/tracking/test_team.py starts one",
    "energy": "needs CodeCarbon and its guess at a processor; tests/cli/test_energy.py has fabricated ones",
    "counted": "numbers that tests/mtl/model/test_macs.py finds in the network",
    "learnt": "asks a network that has learnt for minutes; tests/mtl/test_predict_command.py asks another",
    "moment": "shows a moment of a training; tests/cli/test_watch.py watches one",
    "layout": "a picture, or a file of another program",
}
LINE = 136  # characters of a page
BLOCK = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```([^\n`]*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
TYPED = ("console", "sh")
SPOKEN = ("pycon", "python")
READ = ("toml", "json", "tsv")
LANGUAGES = {*TYPED, *SPOKEN, *READ, "text"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def noted(self, name: str) -> str | None:
        """What a note of that name says, such as ``train.py`` of ``file``."""
        found = [note.removeprefix(f"{name}: ") for note in self.notes if note.startswith(f"{name}: ")]
        return found[0] if found else None

    @property
    def numbers_vary(self) -> bool:
        return "numbers vary" in self.notes

    def compared(self, text: str) -> str:
        """What is compared of what the block shows."""
        free = set((self.noted("lines vary") or "").split(", "))
        return re.sub(r".+", lambda line: "..." if free & set(line[0].split()[:2]) else line[0], text)

    @property
    def on_another_machine(self) -> bool:
        return "on another machine" in self.notes

    @property
    def use(self) -> str:
        """``run``, ``file``, ``compared``, ``read`` or ``not run: ...``; ``unsaid`` if it does not say."""
        reason = self.noted("not run")
        if reason is not None:
            return f"not run: {reason}"
        if self.noted("run by") is not None:
            return "run"
        if self.noted("file") is not None:
            return "file"
        if self.language in (*TYPED, *SPOKEN):
            return "run"
        if self.language in READ:
            return "read"
        if self.noted("part of") is not None:
            return "compared"
        return "unsaid"

    @property
    def is_done(self) -> bool:
        """Whether a reader does it, or sees it."""
        return self.use in ("run", "file", "compared") and self.noted("run by") is None


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        notes = tuple(match[1].split("; ")) if match[1] else ()
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[2], match[3], notes)


def every_block() -> Iterator[Block]:
    for page in PAGES:
        yield from blocks(page)


def counted() -> str:
    """The sentence of ``CONTRIBUTING.md`` on how many blocks are checked and how."""
    uses = Counter(block.use for block in every_block())
    left = sum(n for use, n in uses.items() if use.startswith("not run"))
    return (
        f"Of the {sum(uses.values())} blocks of code in the pages {uses['run']} are run, "
        f"{uses['compared']} are compared with what a command prints, {uses['file']} are files "
        "that these need, "
        f"{uses['read']} are read by what reads their language, and {left} say why they are not run"
    )


def count_anew() -> None:
    """Write the sentence."""
    file = ROOT / "CONTRIBUTING.md"
    paragraphs = file.read_text(encoding="utf-8").split("\n\n")
    (place,) = (at for at, text in enumerate(paragraphs) if "blocks of code in the pages" in text)
    text = re.sub(r"Of the \d+ blocks.*are not run", counted(), " ".join(paragraphs[place].split()))
    paragraphs[place] = textwrap.fill(text, LINE, break_on_hyphens=False, break_long_words=False)
    file.write_text("\n\n".join(paragraphs), encoding="utf-8")


if __name__ == "__main__":
    count_anew()
