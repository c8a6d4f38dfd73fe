"""All checks, in the order in which a reader would mend what they find."""

from collections.abc import Callable, Iterator

from ablate.ground.errors import AblateError
from ablate.ground.wording import readable_bytes
from ablate.record.store import Store
from ablate.upkeep import datasets, processes, records, software, storage, tracking
from ablate.upkeep.findings import Finding, Level
from ablate.upkeep.garbage import Kind, find_garbage
from ablate.upkeep.inventory import Inventory

Check = Callable[[Inventory], Iterator[Finding]]


def check_leftovers(inventory: Inventory) -> Iterator[Finding]:
    """Nothing lies in the store that no study needs."""
    garbage = find_garbage(inventory.store)
    if not garbage.items:
        yield Finding(Level.OK, "leftovers", "nothing to remove")
        return
    numbers = ", ".join(f"{kind}: {len(garbage.of(kind))}" for kind in Kind if garbage.of(kind))
    text = f"{readable_bytes(sum(item.n_bytes for item in garbage.items))} that no study needs; {numbers}"
    yield Finding(Level.WARNING, "leftovers", text, (inventory.command("gc"),))


CHECKS: dict[str, Check] = {
    "store": storage.check_store,
    "disk": storage.check_disk,
    "machine": software.check_machine,
    "versions": software.check_versions,
    "torch": software.check_torch,
    "subject": software.check_subject,
    "mlflow": tracking.check_mlflow,
    "studies": records.check_studies,
    "runs": records.check_runs,
    "data": datasets.check_data,
    "training": processes.check_training,
    "failed": records.check_failed,
    "shipping": tracking.check_shipping,
    "leftovers": check_leftovers,
}


def examine(store: Store, study: str | None = None) -> Iterator[Finding]:
    """What each check finds, of all studies or one. Nothing is changed, nothing raised."""
    inventory = Inventory(store, study)
    for name, check in CHECKS.items():
        try:
            yield from check(inventory)
        except AblateError as error:
            yield from (Finding(Level.PROBLEM, name, problem) for problem in error.problems)
        except Exception as error:  # the other checks still tell something
            yield Finding(Level.PROBLEM, name, f"cannot be checked: {type(error).__name__}: {error}")
