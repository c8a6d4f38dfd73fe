"""What MLflow's page shows of a study as a whole: its report, its comparison as tables, and its effects."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from ablate.analysis import figures, tables
from ablate.analysis.compare import Comparison
from ablate.analysis.pictures import Album, Picture
from ablate.analysis.query import RunRecord
from ablate.ground.wording import count
from ablate.record.rundir import State
from ablate.tracking.descriptions import literal
from ablate.tracking.summary import Summary

REPORT = "report.html"
TABLE = "comparison.json"
CSV = "comparison.csv"
DOTS_PER_INCH = 120
DESCRIPTION_LIMIT = 5000  # characters; MLflow refuses tags beyond 8000


def summarise(
    page: str, comparison: Comparison, album: Album, runs: Sequence[RunRecord], now: datetime
) -> Summary:
    """``page`` is the report, ``runs`` are all that the study has, ``now`` is when they were read."""
    header, rows = tables.as_read(comparison)
    effects = [picture for picture in album.pictures if _is_effect(picture)]
    files = {
        REPORT: page.encode(),
        # Each title once: MLflow reads a table's columns by their names.
        TABLE: json.dumps({"columns": _told_apart(header), "data": rows}, ensure_ascii=False).encode(),
        CSV: tables.csv_text(comparison).encode(),
        **{f"{picture.id}.png": _png(picture) for picture in effects},
    }
    return Summary(files, (TABLE,), _describe(comparison, effects, runs, now))


def _is_effect(picture: Picture) -> bool:
    """Whether it is drawn from scores of conditions, as against one of confusions, of training or of data."""
    return picture.id in ("differences", "interactions") or picture.id.startswith("over_")


def _told_apart(header: Sequence[str]) -> list[str]:
    """A title that comes again (of differences) has the one before it, of its metric."""
    return [
        f"{header[place - 1]}: {title}" if header.count(title) > 1 else title
        for place, title in enumerate(header)
    ]


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    figures.save(picture.figure, file, DOTS_PER_INCH)
    return file.getvalue()


def _describe(
    comparison: Comparison, effects: Sequence[Picture], runs: Sequence[RunRecord], now: datetime
) -> str:
    n_finished = sum(run.state is State.FINISHED for run in runs)
    study = comparison.study
    lines = [
        f"**The study {study} as a whole**, no training: written by `ablate report {study}` on "
        f"{now.astimezone(UTC):%Y-%m-%d at %H:%M} UTC, when {n_finished} of {count(len(runs), 'run')} had "
        "finished. The same command writes it anew, in this place.",
        "",
        f"- `{REPORT}`: the report, one page with everything in it",
        f"- `{TABLE}`: the conditions compared, rounded as people read them",
        f"- `{CSV}`: the same with all digits, as `ablate compare {study} --format csv` writes it",
        *(f"- `{picture.id}.png`: {picture.title[0].lower()}{picture.title[1:]}" for picture in effects),
        "",
        "In the table:",
        "",
        *(f"- {literal(note)}" for note in tables.notes(comparison)),
    ]
    return "\n".join(lines)[:DESCRIPTION_LIMIT]
