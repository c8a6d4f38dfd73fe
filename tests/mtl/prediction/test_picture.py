"""The pictures: a page a minute, a strip for each event that is heard or annotated."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ablate.mtl.data.annotations import Event, Recording
from ablate.mtl.data.features import CLIP_FRAMES, N_BANDS, Hearing, Normalisation
from ablate.mtl.prediction.listening import Heard
from ablate.mtl.prediction.picture import Painter, Words, page

EVENTS = ("car", "dog", "siren")
HEARING = Hearing(8000.0, Normalisation(np.full(N_BANDS, -40.0), np.full(N_BANDS, 10.0)))


def clip(place: int, *, scenes: bool = True, events: bool = True) -> Heard:
    """Ten seconds of noise in which a dog is heard for two of them."""
    random = np.random.default_rng(place)
    probabilities = np.full((CLIP_FRAMES, len(EVENTS)), 0.01, np.float32)
    probabilities[100:200, 1] = 0.9
    return Heard(
        place * CLIP_FRAMES,
        random.standard_normal((CLIP_FRAMES, N_BANDS)).astype(np.float32),
        np.array([0.25, 0.75], np.float32) if scenes else None,
        probabilities if events else None,
    )


def words(truth: Recording | None = None) -> Words:
    return Words("a.wav", ("city_center", "park"), EVENTS, 0.5, HEARING, truth)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def strips(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[2].get_yticklabels()]


def bars(figure: Figure, panel: int) -> list[tuple[float, float]]:
    """Where the bars of a panel begin and end, in seconds."""
    patches = [patch for patch in figure.axes[panel].patches if 0 < patch.get_height() < 0.5]
    return [(round(bar.get_x(), 2), round(bar.get_x() + bar.get_width(), 2)) for bar in patches]


def test_a_page_has_a_strip_for_what_is_heard_or_annotated() -> None:
    truth = Recording("a.wav", "park", (Event(1.0, 3.5, "siren"), Event(30.0, 31.0, "car")), ())
    figure = page([clip(0)], words(truth))
    assert strips(figure) == ["dog", "siren"]
    assert bars(figure, 2) == [(2.0, 4.0), (1.0, 3.5)]  # predicted, then annotated
    assert figure.get_suptitle() == "a.wav\nscene: park (0.75), annotated: park"
    assert len(np.unique(pixels(figure).reshape(-1, 3), axis=0)) > 100


def test_a_class_that_the_network_has_not_learnt_is_shown_as_missed() -> None:
    figure = page([clip(0)], words(Recording("a.wav", "", (Event(1.0, 2.0, "drill"),), ())))
    assert strips(figure) == ["dog", "drill"]
    assert figure.get_suptitle() == "a.wav\nscene: park (0.75)"


def test_a_page_without_events_says_so() -> None:
    quiet = clip(0)
    assert quiet.events is not None
    quiet.events[:] = 0
    figure = page([quiet], words())
    assert [text.get_text() for text in figure.axes[2].texts] == ["no event"]
    pixels(figure)


def test_a_network_of_one_task_has_no_panel_for_the_other() -> None:
    only_scenes = page([clip(0, events=False)], words())
    only_events = page([clip(0, scenes=False)], words())
    assert [axes.get_ylabel() for axes in only_scenes.axes] == ["kHz", "", "dB"]
    assert [label.get_text() for label in only_scenes.axes[1].get_yticklabels()] == ["scene"]
    assert [label.get_text() for label in only_events.axes[1].get_yticklabels()] == ["dog"]
    assert only_events.get_suptitle() == "a.wav"


def test_a_long_recording_has_a_page_a_minute() -> None:
    pages: dict[int, Figure] = {}
    painter = Painter(words(), pages.__setitem__)
    for place in range(7):
        painter.add(clip(place))
    assert list(pages) == [1]  # drawn as soon as it is full
    painter.end()
    assert list(pages) == [1, 2]
    assert [figure.axes[-2].get_xlim() for figure in pages.values()] == [(0, 60), (60, 70)]


def test_probable_events_are_chosen_where_there_are_too_many() -> None:
    events = tuple(f"event {place:02d}" for place in range(40))
    probabilities = np.tile(np.linspace(0.3, 0.9, 40, dtype=np.float32), (CLIP_FRAMES, 1))
    many = Heard(0, np.zeros((CLIP_FRAMES, N_BANDS), np.float32), np.ones(2, np.float32) / 2, probabilities)
    figure = page([many], Words("a.wav", ("home", "park"), events, 0.5, HEARING, None))
    assert strips(figure) == list(events[10:])
