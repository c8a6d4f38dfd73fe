"""The runs that ``--where`` asks for, in the language of ``ground.filters``.

A name is a factor, a setting by its dotted name, a metric, or a field of the run (``seed``, ``state``,
``name``, ``run_id``, ...).
"""

from collections.abc import Sequence

from ablate.analysis.query import RunRecord, known_names
from ablate.ground.filters import parse

KINDS = "a factor, setting, metric or field"


def select(records: Sequence[RunRecord], where: str) -> list[RunRecord]:
    """The runs that match. Raises ConfigError that points at what is wrong in ``where``."""
    matches = parse(where, known_names(records) if records else None, kinds=KINDS)
    return [record for record in records if matches(record.values)]
