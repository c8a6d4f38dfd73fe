"""A network that is asked about recordings, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ablate.ground.errors import DataError
from ablate.mtl.data.features import HOP_SECONDS
from ablate.mtl.kept import Network
from ablate.mtl.prediction.detections import Prediction, Tally
from ablate.mtl.prediction.listening import Classify, listen, opened_file
from ablate.mtl.prediction.outputs import Outputs
from ablate.mtl.prediction.picture import Painter, Words
from ablate.mtl.prediction.recordings import Asked
from ablate.mtl.prediction.truth import Truth

Advance = Callable[[float], None]  # is told of each stretch of sound that was heard, in seconds


@dataclass
class Session:
    """A network, and what is to be written of what it hears. ``title`` names the network in pictures.

    ``failed`` are the problems of the recordings that could not be read, by their files.
    """

    title: str
    network: Network
    classify: Classify
    threshold: float
    outputs: Outputs
    truth: Truth
    failed: dict[str, list[str]] = field(default_factory=dict)

    def predict(self, asked: Sequence[Asked], advance: Advance) -> Iterator[Prediction]:
        """What is heard in each recording that can be read."""
        for each in asked:
            self.outputs.pictures = []
            try:
                prediction = self._predict(each, advance)
            except DataError as error:
                self.failed[str(each.file)] = error.problems
                continue
            self.outputs.keep_labels(each, prediction)
            yield prediction

    def _predict(self, each: Asked, advance: Advance) -> Prediction:
        network = self.network
        painter = self._painter(each)
        with opened_file(each.file) as sound:
            tally = Tally(sound.title, sound.info, network.scenes, network.events, self.threshold)
            for heard in listen(sound, network.hearing, self.classify):
                tally.add(heard)
                if painter is not None:
                    painter.add(heard)
                advance(len(heard) * HOP_SECONDS)
        if painter is not None:
            painter.end()
        return tally.prediction()

    def _painter(self, each: Asked) -> Painter | None:
        if not self.outputs.plot:
            return None
        network = self.network
        words = Words(
            f"{each.file} · {self.title}",
            network.scenes,
            network.events,
            self.threshold,
            network.hearing,
            self.truth.of(each.file),
        )
        return Painter(words, partial(self.outputs.keep_page, each))
