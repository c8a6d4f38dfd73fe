"""Words of messages: what may have been meant, what there is, and how many."""

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


def count(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def joined(items: Sequence[object]) -> str:
    """``5, 10 and 20``."""
    texts = [str(item) for item in items]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]


def some(names: Sequence[str], most: int, between: str = "; ") -> str:
    """The first of many, and how many more there are: ``a; b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def readable_energy(kwh: float) -> str:
    """``12.8 mWh``, ``3.4 Wh``, ``1.2 kWh``."""
    amount, units = 1e6 * kwh, ("mWh", "Wh", "kWh")
    for unit in units[:-1]:
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.4g} {units[-1]}"


def readable_count(number: int) -> str:
    """``1,249,533``; from ten million on ``1.27 G``, with the number itself."""
    if abs(number) < 1e7:
        return f"{number:,}"
    size, unit = next(
        pair for pair in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if abs(number) >= 0.9995 * pair[0]
    )
    return f"{number / size:.3g} {unit} ({number:,})"


def readable_bytes(n_bytes: float) -> str:
    """``12 B``, ``3.4 MB``, ``1.2 GB``: powers of 1000, as disks are sold and `df -H` counts."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
