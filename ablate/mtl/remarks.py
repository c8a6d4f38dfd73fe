"""What a run's page says of its training beside the losses: whether the reversal reversed."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.subject.interface import Row
from ablate.subject.settings import Settings

TITLE = "gradient reversal (the gradient below the layer against the one above)"


def reversal(settings: Settings, history: Sequence[Row]) -> Mapping[str, Mapping[str, str]]:
    """The first and the last epoch's evidence; nothing without a reversal.

    A cosine of -1 and a ratio of lambda are what a reversal of strength lambda does.
    """
    rows = [row for row in history if row.get("grl_ratio") is not None or row.get("grl_cosine") is not None]
    if settings.get("grl.position") == "none" or not rows:
        return {}
    lines = {
        f"epoch {row['epoch']}": (
            f"cosine {_text(row.get('grl_cosine'))}, norm below / above {_text(row.get('grl_ratio'))}"
        )
        for row in (rows[0], rows[-1])
    }
    return {TITLE: lines}


def _text(value: Any) -> str:
    return "-" if value is None else str(value).removesuffix(".0")
