"""Label tracks of Audacity: ``onset <TAB> offset <TAB> label`` a line, without a header, a file a recording.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html. Below a label may stand a line of its
frequencies, which begins with a backslash; it is skipped.
"""

import re

from ablate.mtl.data.columns import Fields, Findings, quoted, read_rows
from ablate.mtl.data.labelforms.labelled import Labelled, time_text

ORDER = ("onset", "offset", "event")
FREQUENCIES = re.compile(r"(?m)^\\.*$")


def read(text: str, path: str, findings: Findings) -> list[Fields]:
    """The rows of a label track, all of the recording ``path``."""
    return [row._replace(path=path) for row in read_rows(FREQUENCIES.sub("", text), findings, ORDER)]


def write(recording: Labelled) -> str:
    """The label track of a recording."""
    return "".join(
        f"{time_text(event.onset_s)}\t{time_text(event.offset_s)}\t{quoted(event.label)}\n"
        for event in recording.events
    )
