"""The ends of error messages: what may have been meant, and what there is."""

import difflib
from collections.abc import Iterable, Sequence

from ablate.ground.errors import brief

# What is suggested for an unknown name: no more than fit a message, and nothing for what is no name.
MOST_SUGGESTED = 40
LONGEST_NAME = 200


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest valid name, or all of them when none is near."""
    known = list(known)
    return near_miss(name, known) or (f"; known: {enumerate_names(known)}" if known else "")


def near_miss(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'fan'?``, or nothing when no valid name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5) if len(name) <= LONGEST_NAME else []
    return f"; did you mean '{brief(near[0])}'?" if near else ""


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error message: the nearest known name or, when none is near, the short ones."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return suggest(name, near or [other for other in known if not set("./") & set(other)])


def enumerate_names(known: Sequence[str]) -> str:
    """Valid names in a row, no more than fit a message."""
    more = f" and {len(known) - MOST_SUGGESTED} more" if len(known) > MOST_SUGGESTED else ""
    return f"{', '.join(map(brief, known[:MOST_SUGGESTED]))}{more}"
