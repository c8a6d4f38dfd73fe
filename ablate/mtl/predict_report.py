"""What ``ablate predict`` prints."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ablate.analysis.layout import Column
from ablate.cli.console import print_json, print_table, say
from ablate.cli.options import Format
from ablate.ground.wording import count
from ablate.mtl.data.features import N_BANDS, n_bands_within
from ablate.mtl.detection.detector import Detector
from ablate.mtl.prediction.detections import COLUMNS, Prediction, rows
from ablate.mtl.trained import Trained

MOST_LISTED = 4  # label files
LEAST_SCENE = 0.01  # a scene with less is not printed

Failed = Mapping[str, Sequence[str]]


class Report:
    """Tables and CSV recording by recording, JSON when all are done."""

    def __init__(self, form: Format, chosen: Trained, threshold: float) -> None:
        self._form = form
        self._chosen = chosen
        self._threshold = threshold
        self._content: list[dict[str, Any]] = []
        self._n_recordings = self._n_events = 0
        if form is Format.CSV:
            _print_csv([COLUMNS])
        elif form is Format.TABLE:
            say(f"run {chosen.title}")
            if smoothed := Detector.of(chosen.network.config.scoring).words:
                say(f"note: the run's scores are made with {smoothed}; here each frame is judged by itself")

    def add(self, prediction: Prediction, pictures: Sequence[str]) -> None:
        self._n_recordings += 1
        self._n_events += len(prediction.events)
        notes = self._notes(prediction)
        if self._form is Format.JSON:
            self._content.append(_as_json(prediction, notes, pictures))
        elif self._form is Format.CSV:
            _print_csv(rows(prediction))
        else:
            _print_prediction(prediction, notes, pictures)

    def end(self, labels: Sequence[str], failed: Failed) -> None:
        if self._form is Format.JSON:
            content = {"recordings": self._content, "labels": list(labels), "failed": dict(failed)}
            print_json(self._head() | content)
        elif self._form is Format.TABLE:
            print()
            say(f"{count(self._n_recordings, 'recording')}, {count(self._n_events, 'event')}")
            for file in labels[:MOST_LISTED]:
                say(f"labels: {file}")
            if len(labels) > MOST_LISTED:
                say(f"labels: {len(labels) - MOST_LISTED} more files")

    def _notes(self, prediction: Prediction) -> list[str]:
        """What makes a recording unlike those that the network was trained on."""
        rate_hz, top_hz = prediction.info.sample_rate_hz, self._chosen.network.hearing.top_hz
        n_unheard = N_BANDS - n_bands_within(rate_hz, top_hz)
        if not n_unheard:
            return []
        return [
            f"at {rate_hz / 1000:g} kHz nothing is recorded above {rate_hz / 2000:g} kHz, where {n_unheard} "
            f"of the network's {N_BANDS} bands lie; they are taken to be as in the mean of its training data"
        ]

    def _head(self) -> dict[str, Any]:
        record, network = self._chosen.found.record, self._chosen.network
        return {
            "schema": "ablate.predictions/1",
            "run_id": record.run_id,
            "study": self._chosen.found.study,
            "name": record.name,
            "seed": record.seed,
            "threshold": self._threshold,
            "scenes": list(network.scenes),
            "events": list(network.events),
        }


def tell_failures(failed: Failed, n_asked: int) -> None:
    """Names the recordings that could not be read, on standard error."""
    print(f"ablate: {len(failed)} of {count(n_asked, 'recording')} could not be read:", file=sys.stderr)
    for problem in (problem for problems in failed.values() for problem in problems):
        print(f"ablate: {problem}", file=sys.stderr)


def _print_prediction(prediction: Prediction, notes: Sequence[str], pictures: Sequence[str]) -> None:
    info, events = prediction.info, prediction.events
    print()
    say(f"{prediction.title}: {info.duration_s:.2f} s at {info.sample_rate_hz / 1000:g} kHz")
    for note in notes:
        say(f"  note: {note}")
    likely = [f"{label} {p:.2f}" for label, p in prediction.scenes.items() if p >= LEAST_SCENE]
    if likely:
        say(f"  scene: {', '.join(likely)}")
    for picture in pictures:
        say(f"  picture: {picture}")
    if events:
        label = Column(("event",), tuple(event.label for event in events), text=True)
        columns = {
            "from (s)": [event.onset_s for event in events],
            "to (s)": [event.offset_s for event in events],
            "probability": [event.probability for event in events],
        }
        numbers = [
            Column((title,), tuple(f"{value:.2f}" for value in values)) for title, values in columns.items()
        ]
        print_table(label, [numbers])


def _print_csv(rows: Iterable[Sequence[Any]]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


def _as_json(prediction: Prediction, notes: Sequence[str], pictures: Sequence[str]) -> dict[str, Any]:
    return {
        "path": prediction.title,
        "duration_s": prediction.info.duration_s,
        "sample_rate_hz": prediction.info.sample_rate_hz,
        "scenes": prediction.scenes,
        "clips": [
            {"onset_s": clip.onset_s, "offset_s": clip.offset_s, "scenes": clip.probabilities}
            for clip in prediction.clips
        ],
        "events": [
            {
                "label": event.label,
                "onset_s": event.onset_s,
                "offset_s": event.offset_s,
                "probability": event.probability,
            }
            for event in prediction.events
        ],
        "notes": list(notes),
        "pictures": list(pictures),
    }
