"""``ablate export``: a finished run's network as a folder that needs no ablate."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, say
from ablate.cli.options import Printout, PrintoutOption, StoreOption, open_store
from ablate.ground.errors import ConfigError
from ablate.mtl import documents
from ablate.mtl.predict_command import RunArgument, StudyOption

if TYPE_CHECKING:
    from ablate.analysis.compare import Group
    from ablate.mtl.export.card import Facts, Score
    from ablate.mtl.trained import Trained
    from ablate.record.store import Store

CARD = "README.md"
MODEL = "MLmodel"
MODEL_FOLDER, DATA = "model", "network"
TOLERANCE = 1e-5  # of a probability in float32, computed in another order


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a network exported to DIR before.")] = False,
    study: StudyOption = None,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Write a run's network as an MLflow model and a torch.export program, with a model card.

    The folder needs no ablate: it has the code that computes features, and says which packages it needs.
    """
    from ablate.mtl.trained import trained

    _check_folder(folder, force)
    opened = open_store(store)
    chosen = trained(opened, run, study, "be exported")
    with _replacing(folder) as model:
        deviation = _write(model, chosen, opened)
    if output is Printout.JSON:
        print_json(
            documents.Exported(
                schema="ablate.export/1",
                run_id=chosen.found.record.run_id,
                folder=str(folder),
                card=str(folder / CARD),
                program=str(folder / "data" / DATA / "network.pt2"),
                largest_deviation=deviation,
            )
        )
        return
    say(f"run {chosen.title}")
    for name, what in (
        (CARD, "the model card: classes, scores, settings, limits"),
        (MODEL, "an MLflow model, with its code and its requirements beside it"),
        (f"data/{DATA}/network.pt2", "the network as a torch.export program"),
        (f"data/{DATA}/network.json", "classes, features and normalisation"),
    ):
        say(f"  {folder / name}: {what}", hang=4)
    say(f"Its probabilities differ from the run's by {deviation:.1g} at most, on clips of noise.")


def _check_folder(folder: Path, force: bool) -> None:
    """Raises ConfigError when something is there that is not to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MODEL).is_file() or not (folder / "data" / DATA / "network.pt2").is_file():
        raise ConfigError(f"{folder}: holds something else than an exported network; name another folder")
    if not force:
        raise ConfigError(f"{folder}: holds an exported network already; replace it with --force")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when that has been done without an error."""
    from ablate.mtl.data.replacing import put_in_place

    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            model = Path(temporary) / MODEL_FOLDER
            yield model
            put_in_place(target, model)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror or error}); name another") from error


def _write(model: Path, chosen: "Trained", store: "Store") -> float:
    """Makes the folder ``model``, and what it is made of beside it; returns how far it is from the run."""
    from ablate.ground.files import write_json
    from ablate.mtl.export.card import card
    from ablate.mtl.export.code import LOADER, write_package
    from ablate.mtl.export.program import largest_deviation, save_program
    from ablate.mtl.export.requirements import requirements
    from ablate.tracking.models import save_model

    network, data = chosen.network, model.with_name(DATA)
    data.mkdir()
    write_json(data / "network.json", network.to_json())
    save_program(network, chosen.weights, data / "network.pt2")
    deviation = largest_deviation(network, chosen.weights, data / "network.pt2")
    if deviation > TOLERANCE:
        raise ConfigError(
            f"the exported network would differ from the run by {deviation:.1g} of a probability, and "
            f"{TOLERANCE:g} is allowed; nothing was written"
        )
    facts = _facts(chosen, store, deviation)
    save_model(
        model,
        package=write_package(model.parent),
        loader=LOADER,
        data=data,
        requirements=requirements(),
        params={"threshold": network.config.scoring.threshold},
        metadata={"run_id": facts.run_id, "dataset": network.data_name, "digest": network.data_digest},
    )
    (model / CARD).write_text(card(network, facts), encoding="utf-8")
    return deviation


# --------------------------------------------------------------------------------------------- for the card


def _facts(chosen: "Trained", store: "Store", deviation: float) -> "Facts":
    from ablate.analysis.inspect import describe
    from ablate.mtl.export.card import Facts

    content = describe(store, chosen.found)
    tables = {name: (table["columns"], table["data"]) for name, table in content["tables"].items()}
    return Facts(
        content["run_id"],
        chosen.found.study,
        content["name"],
        content["seed"],
        _scores(chosen, store),
        tables,
        content["versions"],
        deviation,
    )


def _scores(chosen: "Trained", store: "Store") -> "list[Score]":
    """The run's scores over all classes, and what its condition has over seeds."""
    from ablate.analysis.compare import group_runs
    from ablate.analysis.query import load_runs

    record = chosen.found.record
    groups = group_runs(load_runs(store, chosen.found.study))
    group = next(group for group in groups if record.run_id in group.run_ids().values())
    return [_score(chosen, name, group) for name in record.metrics if "/" not in name]


def _score(chosen: "Trained", name: str, group: "Group") -> "Score":
    from ablate.analysis.intervals import summarise
    from ablate.analysis.units import Scale
    from ablate.mtl.export.card import Score

    record = chosen.found.record
    units = record.subject.metrics
    values = list(group.scores(name).values())
    scale = Scale.of(units.of(name), values)
    value = scale.value(record.metrics[name])
    if not values:
        return Score(units.label(name), value, "", "", 0)
    summary = summarise(values)
    interval = (
        f"{scale.value(summary.ci_low)} to {scale.value(summary.ci_high)}"
        if summary.ci_low is not None
        else "none from one seed"
    )
    return Score(units.label(name), value, scale.value(summary.mean), interval, summary.n)
