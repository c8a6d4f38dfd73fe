"""Where ``ablate`` begins: a shell that completes a line gets its answer before any command is loaded."""

import os

ASKED = "_ABLATE_COMPLETE"


def main() -> None:
    if os.environ.get(ASKED, "").startswith("complete_"):
        from ablate.cli.completing import answer

        answer(os.environ)
        return
    from ablate.cli.app import main as run

    run()
