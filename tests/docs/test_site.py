"""The pages as a site: whole, with a reference of all commands, and readable without a network."""

import subprocess
import sys
from pathlib import Path

import typer.main

from ablate.cli.app import app

ROOT = Path(__file__).parents[2]


def test_the_site_is_built_without_a_broken_link_and_has_every_command(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "build_site.py", tmp_path / "site"], cwd=ROOT, check=True)
    site = tmp_path / "site" / "site"
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    # A folder's README is its index.
    pages = {page.replace("README", "index") for page in pages}
    assert {page for page in pages if not (site / "docs" / f"{page}.html").exists()} == set()
    tutorial = (site / "docs" / "tutorial.html").read_text()
    assert '<span class="filename">tone.py</span>' in tutorial, "a block that is a file has its name"
    assert "```" not in tutorial
    reference = (site / "reference" / "commands.html").read_text()
    for name, command in typer.main.get_command(app).commands.items():
        assert command.hidden or f'id="ablate-{name}"' in reference


def test_the_readme_is_a_first_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
