"""How often intervals over seeds and recordings cover the truth, and how long they take.

Studies of two conditions are simulated: recordings of 10 s to 5 min, classes that sound in some of them,
counts of frames found, missed and falsely heard, moved by the seed, the recording and chance. The truth is
the mean difference over many seeds and 4,000 recordings each; over recordings only, that of the same seeds.
Each row is a setting, with the share of studies whose nominal 95 % interval has the truth in it. The crossed
bootstrap and the interval over recordings, which take longer, are tried in every tenth study.

    python -m benchmarks.recordings --studies 2000 --output benchmarks/results/recordings.json
"""

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.analysis.byitem import Crossed, ItemScores
from ablate.subject.items import Items, Overall, Ratios
from benchmarks.common import Row, context, parser, show, write

Array = NDArray[np.float64]
FRAMES = 500.0  # of 10 s


@dataclass(frozen=True)
class Setting:
    """Standard deviations are of the logit of the share of frames that is found."""

    seeds: int
    recordings: int
    metric: str
    n_classes: int = 12
    of_seed: float = 0.2
    of_recording: float = 0.4
    of_rest: float = 0.3
    rare: bool = False


SETTINGS = (
    Setting(3, 136, "micro"),
    Setting(5, 136, "micro"),
    Setting(10, 136, "micro"),
    Setting(3, 30, "micro"),
    Setting(5, 30, "micro"),
    Setting(10, 30, "micro"),
    Setting(5, 136, "macro"),
    Setting(5, 30, "macro"),
    Setting(5, 15, "macro"),
    Setting(5, 136, "micro", of_seed=0.02, of_recording=0.6, of_rest=0.1),
    Setting(5, 136, "micro", of_seed=0.5, of_recording=0.05, of_rest=0.1),
    Setting(5, 136, "micro", of_seed=0.0, of_recording=0.0, of_rest=1.0),
    Setting(5, 136, "micro", n_classes=1, rare=True),
)


def sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))


@dataclass(frozen=True, eq=False)
class Recordings:
    """Drawn recordings: frames, true frames of each class, and what each adds to either condition."""

    frames: Array
    true: Array
    own: tuple[Array, Array]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, setting: Setting) -> "Recordings":
        length = rng.choice([1.0, 3.0, 18.0], n, p=[0.55, 0.3, 0.15]) * rng.uniform(0.7, 1.3, n)
        shape = (n, setting.n_classes)
        often = np.linspace(0.6, 0.03, setting.n_classes) if setting.n_classes > 1 else 0.1
        present = rng.random(shape) < often
        true = FRAMES * length[:, None] * rng.beta(1, 3, shape) * present
        return cls(FRAMES * length[:, None], true, (rng.standard_normal(shape), rng.standard_normal(shape)))


Seeds = tuple[Array, Array]


def draw_seeds(rng: np.random.Generator, n: int, setting: Setting) -> Seeds:
    """What a seed adds to either condition: half of it to both."""
    common = 0.5 * rng.standard_normal(n)
    ours, theirs = (setting.of_seed * (common + 0.7 * rng.standard_normal(n)) for _ in range(2))
    return ours, theirs


def draw_runs(
    rng: np.random.Generator, recordings: Recordings, seeds: Seeds, setting: Setting
) -> list[list[Items]]:
    """Runs of either condition, one a seed."""
    shared = (recordings.own[0] + recordings.own[1]) / 2
    overall = {"f": Overall("f", "micro" if setting.metric == "micro" else "macro")}
    parts = tuple(map(str, range(setting.n_classes)))
    names = tuple(f"{place:05d}" for place in range(len(recordings.true)))
    sides = []
    for own, of_seeds, effect in zip(recordings.own, seeds, (0.15, 0.0), strict=True):
        runs = []
        for of_seed in of_seeds:
            chance = setting.of_rest * rng.standard_normal(own.shape)
            logits = -0.3 + effect + of_seed + shared + setting.of_recording * own + chance
            found = sigmoid(logits) * recordings.true
            false = sigmoid(-2.5 + 0.3 * of_seed + 0.5 * shared + 0.5 * chance)
            false = 0.15 * false * (recordings.frames - recordings.true)
            ratios = Ratios(parts, 2 * found, found + recordings.true + false, recordings.true)
            runs.append(Items(names, {"f": ratios}, overall, "recording"))
        sides.append(runs)
    return sides


def item_scores(items: Items) -> ItemScores:
    terms = items.terms("f")
    assert terms is not None
    value = items.score("f")
    assert value is not None
    return ItemScores(
        items.kind, tuple(items.names), terms, value, terms.without_each(), terms.alone(), terms.exposure()
    )


def truth(rng: np.random.Generator, setting: Setting, seeds: Seeds | None = None, studies: int = 1) -> float:
    """The mean difference on endless recordings, of other seeds or of these."""
    differences = []
    for _ in range(studies):
        drawn = Recordings.draw(rng, 4_000, setting)
        ours, theirs = draw_runs(rng, drawn, seeds or draw_seeds(rng, 4, setting), setting)
        differences += [
            (a.score("f") or 0.0) - (b.score("f") or 0.0) for a, b in zip(ours, theirs, strict=True)
        ]
    return float(np.mean(differences))


def covered(setting: Setting, studies: int) -> Row:
    rng = np.random.default_rng(0)
    true, hits, total = truth(rng, setting, studies=60), Counter[str](), Counter[str]()
    for study in range(studies):
        recordings = Recordings.draw(rng, setting.recordings, setting)
        seeds = draw_seeds(rng, setting.seeds, setting)
        ours, theirs = (tuple(map(item_scores, runs)) for runs in draw_runs(rng, recordings, seeds, setting))
        crossed = Crossed(ours, theirs, 1)
        mean = float(np.mean([a.score - b.score for a, b in zip(ours, theirs, strict=True)]))
        limits = {}
        for over in ("seeds", "both"):
            width = crossed.spread.half_width(over)  # type: ignore[arg-type]
            limits[f"over {over}"] = None if width is None else (mean - width, mean + width)
        if study % 10 == 0:  # which take longer
            limits["crossed bootstrap"] = crossed.percentile("both", study)
            width, these = crossed.spread.half_width("items"), truth(rng, setting, seeds)
            if width is not None:
                total["over recordings"] += 1
                hits["over recordings"] += abs(mean - these) < width
        for name, found in limits.items():
            if found is not None:
                total[name] += 1
                hits[name] += found[0] < true < found[1]
    named = ("over seeds", "over recordings", "over both", "crossed bootstrap")
    return {**vars(setting), **{name: round(hits[name] / max(1, total[name]), 3) for name in named}}


def speed() -> Row:
    """Nine systems, ten seeds, 136 recordings, 25 classes: eight differences of one macro metric."""
    setting = Setting(10, 136, "macro", n_classes=25)
    rng = np.random.default_rng(0)
    recordings = Recordings.draw(rng, 136, setting)
    sides = [
        runs for _ in range(5) for runs in draw_runs(rng, recordings, draw_seeds(rng, 10, setting), setting)
    ]
    begun = time.perf_counter()
    scores = [tuple(map(item_scores, runs)) for runs in sides[:9]]
    crossed = [Crossed(ours, scores[0], 1) for ours in scores[1:]]
    for each in crossed:
        assert each.spread.upper_p("both", 0.01) is not None
        assert each.chance is not None
    intervals = time.perf_counter()
    for each in crossed:
        each.percentile("both", 0)
    return {
        "intervals, p and chances (s)": round(intervals - begun, 2),
        "crossed bootstrap of 2,000 draws (s)": round(time.perf_counter() - intervals, 2),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--studies", type=int, default=2_000, help="simulated studies of each setting")
    given = options.parse_args()
    where = {**context("numpy", "scipy"), "studies": given.studies, "speed": speed()}
    show(where["speed"])
    rows = []
    for setting in SETTINGS:
        rows.append(covered(setting, given.studies))
        show(rows[-1])
    write(given.output, where, rows)


if __name__ == "__main__":
    main()
