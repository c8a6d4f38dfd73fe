"""The model card of an exported network: what it is, how to use it, how good it is, what it is not for."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.ground.version import VERSION
from ablate.mtl.data.features import CLIP_FRAMES, HOP_SECONDS, N_BANDS, SHORTEST_TAIL_FRAMES, WINDOW_SECONDS
from ablate.mtl.kept import Network
from ablate.mtl.prediction.detections import COLUMNS

LEARNT = {
    "both": "scene classification and sound event detection",
    "scene": "scene classification",
    "event": "sound event detection",
}


@dataclass(frozen=True)
class Score:
    """A score in words: of this run, and of its condition over ``n`` seeds; empty where it is not known."""

    label: str
    value: str
    mean: str
    interval: str
    n: int


@dataclass(frozen=True)
class Facts:
    """What the card says beyond what the network knows of itself.

    ``classes`` are tables, title -> header and rows. ``deviation`` is how far the exported network's
    probabilities were from the run's, at most, when it was exported.
    """

    run_id: str
    study: str
    name: str
    seed: int
    scores: Sequence[Score]
    classes: dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]
    versions: dict[str, str]
    deviation: float


def card(network: Network, facts: Facts) -> str:
    """The text of the card, in Markdown."""
    parts = [
        _what(network, facts),
        _loading(network),
        _scores(network, facts),
        _features(network),
        _limits(network),
        _settings(network, facts),
    ]
    return "\n\n".join(parts) + "\n"


def _what(network: Network, facts: Facts) -> str:
    rows = {
        "task": LEARNT[network.config.tasks],
        "scenes": ", ".join(network.scenes) or "none",
        "events": ", ".join(network.events) or "none",
        "architecture": "the multitask network of Imoto et al. 2022, Table 1, at "
        f"{network.config.model.width:g} times its width",
        "trained on": f"{network.data_name}, digest {network.data_digest}",
        "run": f"{facts.run_id} (condition {facts.name}, seed {facts.seed}, study {facts.study})",
        "exported": f"{time.strftime('%Y-%m-%d')} by ablate {VERSION}",
        "licence": "unknown; whoever passes this network on must name one, which may have to follow that of "
        "the training data",
    }
    return f"# {facts.name}, seed {facts.seed}\n\n" + _table(("", ""), list(rows.items()))


def _loading(network: Network) -> str:
    branches = [name for name, has in (("scenes", network.scenes), ("events", network.events)) if has]
    return f"""## How to use it

This folder is an MLflow model; `requirements.txt` has all that it needs, which ablate is not part of.

```python
import mlflow

network = mlflow.pyfunc.load_model("PATH OF THIS FOLDER")
found = network.predict("recording.wav")              # or a list of paths
found = network.predict({{"samples": samples, "sample_rate_hz": 44100}}, params={{"threshold": 0.3}})
```

`predict` returns a DataFrame with the columns {", ".join(f"`{column}`" for column in COLUMNS)}:
a row for the probability of each scene, and one for each event with its times and its mean probability. An
event is detected in a frame of {HOP_SECONDS * 1000:g} ms when its probability exceeds the threshold, by
default {network.config.scoring.threshold:g}.

The network alone, in torch's own operations, takes standardised features of any number of clips, and returns
probabilities of its {" and ".join(branches)}, in the order of `network.json`:

```python
import torch

program = torch.export.load("data/network/network.pt2").module()
program(torch.zeros(1, {CLIP_FRAMES}, {N_BANDS}))
```

`code/ablate_network` has the code that computes the features, and needs no ablate."""


def _scores(network: Network, facts: Facts) -> str:
    share = network.config.validation.share
    data = (
        f"On recordings that were held out of the training ({share:g} of the development clips)"
        if share
        else "On the evaluation data"
    )
    rows = [
        (score.label, score.value, score.mean, score.interval, str(score.n) if score.n else "")
        for score in facts.scores
    ]
    header = ("score (%)", "this run", "mean over seeds", "95 % interval of the mean", "seeds")
    text = f"""## Scores

{data}, as the study has them; event scores are of frames of {HOP_SECONDS * 1000:g} ms. The interval
says how sure the mean over seeds is, not how the network does on other recordings.

{_table(header, rows)}"""
    tables = [
        f"### {title.capitalize()}\n\n{_table(columns, rows)}"
        for title, (columns, rows) in facts.classes.items()
    ]
    return "\n\n".join([text, *tables])


def _features(network: Network) -> str:
    window_ms, hop_ms = WINDOW_SECONDS * 1000, HOP_SECONDS * 1000
    clip_s, tail_s = CLIP_FRAMES * HOP_SECONDS, SHORTEST_TAIL_FRAMES * HOP_SECONDS
    return f"""## Features

Recordings of any sample rate are heard as the mean of their channels: log energies in {N_BANDS} mel bands
(Slaney's, as librosa's) from 0 to {network.hearing.top_hz:g} Hz, in windows of {window_ms:g} ms every
{hop_ms:g} ms, less the mean and over the deviation that each band has in the training data. They are cut into
clips of {CLIP_FRAMES} frames ({clip_s:g} s), the last one filled with zeros; a rest of less than {tail_s:g} s
is not heard.
`data/network/network.json` has all these numbers."""


def _limits(network: Network) -> str:
    return f"""## Intended use and limits

Made for a comparison of trainings, to find out why such a model works: it is a replicate of one condition of
a study, and not the best network that could be trained on these data.

- It knows the classes above and no others: any sound is one of these events or none, and any place one of
  these scenes.
- It was trained and scored on {network.data_name}. Other microphones, rooms, places and levels than in there
  were not tried.
- Recordings at lower sample rates, with nothing up to {network.hearing.top_hz / 1000:g} kHz, are heard as
  if the bands that they lack were as in the mean of the training data. What that costs was not measured.
- Nothing that harms people when it is wrong should depend on it. Recordings of people are personal data in
  many places."""


def _settings(network: Network, facts: Facts) -> str:
    settings = [(f"`{name}`", str(value)) for name, value in network.config.flat().items()]
    versions = [(name, version) for name, version in facts.versions.items()]
    return f"""## Settings

{_table(("setting", "value"), settings)}

## Versions

The run was trained with:

{_table(("package", "version"), versions)}

When it was exported, the probabilities of this network and of the run's own differed by at most
{facts.deviation:.1g}, on clips of noise."""


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return "\n".join(_lines(header, rows))


def _lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
