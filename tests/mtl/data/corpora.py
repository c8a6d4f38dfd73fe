"""Small corpora in the folders and files of the published ones."""

from pathlib import Path

from tests.mtl.data.folders import write_noise

EVENTS = "filename\tonset\toffset\tevent_label\n"
LENGTHS = "filename\tduration\n"


def write(folder: Path, *audio: str, **texts: str) -> Path:
    """Five seconds of noise at each path of ``audio``."""
    for index, path in enumerate(audio):
        write_noise(folder / path, 5.0, seed=index)
    return with_texts(folder, texts)


def with_texts(folder: Path, texts: dict[str, str]) -> Path:
    """Text files by their paths."""
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def desed(folder: Path) -> Path:
    """Two soundscapes and one without events; weak and unlabelled clips; validation and public evaluation."""
    synthetic = "train/synthetic21_train/soundscapes"
    audio = [f"audio/{synthetic}/{name}.wav" for name in "123"]
    audio += [f"audio/validation/validation/{name}.wav" for name in "1v"]
    audio += ["audio/train/weak/w.wav", "audio/train/unlabel_in_domain/u.wav", "audio/eval/public/p.wav"]
    texts = {
        f"{synthetic}.tsv": EVENTS + "1.wav\t0.0\t2.0\tDog\n2.wav\t1.0\t3.0\tCat\n2.wav\t1.5\t2.0\tDog\n",
        "train/synthetic21_train/durations.tsv": LENGTHS + "1.wav\t5.0\n2.wav\t5\n3.wav\t7.0\n",
        "train/weak.tsv": "filename\tevent_labels\nw.wav\tDog,Cat\n",
        "train/unlabel_in_domain.tsv": "filename\nu.wav\n",
        "validation/validation.tsv": EVENTS + "v.wav\t0.0\t4.0\tDog\n1.wav\t\t\t\n",
        "validation/validation_durations.tsv": LENGTHS + "v.wav\t5.0\n1.wav\t5.0\n",
        "eval/public.tsv": EVENTS + "p.wav\t0.0\t4.0\tCat\n",
    }
    return with_texts(write(folder, *audio), {f"metadata/{path}": text for path, text in texts.items()})


SOFT = {"dishes": (0.9, 0.5, 0.1, 0.7), "footsteps": (0.2, 0.4, 0.45, 0.0)}


def maestro(folder: Path) -> Path:
    """Three recordings in each of two scenes."""
    rows = [
        f"{second}\t{second + 1}\t{label}\t{value}\n"
        for label, values in SOFT.items()
        for second, value in enumerate(values)
    ]
    for place, scene in enumerate(("cafe_restaurant", "metro_station")):
        for number in range(3):
            name = f"{scene}/{scene}_{number:02d}"
            write_noise(folder / f"development_audio/{name}.wav", 4.0, seed=3 * place + number)
            with_texts(folder, {f"development_annotation/soft_labels_{name}.txt": "".join(rows)})
    return folder


def urban_sed(folder: Path) -> Path:
    """Two soundscapes to train on, one to validate and one to test with, labelled in text and in JAMS."""
    names = ["train/soundscape_train_bimodal0", "train/soundscape_train_uniform1"]
    names += ["validate/soundscape_validate_bimodal0", "test/soundscape_test_bimodal0"]
    observation = (
        '{"time": 0.5, "duration": 1.0, "confidence": 1.0,'
        ' "value": {"label": "siren", "role": "foreground", "event_time": 9.0, "event_duration": 9.0}}'
    )
    jams = f'{{"annotations": [{{"namespace": "scaper", "data": [{observation}]}}], "file_metadata": {{}}}}'
    texts = {f"annotations/{name}.txt": "0.5\t1.5\tsiren\n" for name in names}
    texts |= {f"annotations/{name}.jams": jams for name in names}
    return with_texts(
        write(folder, *(f"audio/{name}.wav" for name in names)), {**texts, "README.txt": "hello"}
    )


def tut(folder: Path) -> Path:
    """Two recordings in each of two scenes, whose names are the same."""
    names = [f"{scene}/a00{number}" for scene in ("home", "residential_area") for number in range(2)]
    texts = {f"meta/{name}.ann": "0.5\t1.5\tcar\n1\t2\tbird singing\n" for name in names}
    return with_texts(write(folder, *(f"audio/{name}.wav" for name in names)), texts)


def label_tracks(folder: Path) -> Path:
    """Eight recordings of two scenes in one folder with their label tracks, and a list of the scenes."""
    names = [f"{scene} {number}" for scene in ("bakery", "forêt") for number in range(1, 5)]
    texts = {
        f"{name}.txt": f"{index / 4}\t{index / 4 + 2}\t{'bell' if index % 2 else 'oven'}\n"
        for index, name in enumerate(names)
    }
    scenes = "".join(f"{name}.wav\t{name[:-2]}\n" for name in names)
    return with_texts(write(folder, *(f"{name}.wav" for name in names)), {**texts, "scenes.txt": scenes})
