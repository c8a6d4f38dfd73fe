"""A script that fails in three ways, and a study of it."""

from pathlib import Path

from tests.command import ablate

SCRIPT = """
import argparse, json, os, signal, time
parser = argparse.ArgumentParser()
for name in ("lr", "width", "seed"):
    parser.add_argument(f"--{name}", type=float)
asked = parser.parse_args()

def step(epoch):
    if asked.lr == 1 and epoch == 2 and not os.path.exists("mended"):
        raise ValueError(f"loss is nan in step {100 * epoch + asked.seed:g}")
    return 1 / epoch

for epoch in (1, 2, 3):
    print(json.dumps({"epoch": epoch, "loss": step(epoch)}), flush=True)
    time.sleep(float(os.environ.get("STEP_S", "0")))
if asked.width == 2 and asked.seed == 0:
    raise MemoryError
if asked.width == 2:
    os.kill(os.getpid(), signal.SIGTERM)
print(json.dumps({"accuracy": 0.5}))
"""
# lr=1 raises in each of its runs; width=2 (with lr=0.1) has no memory for seed 0, and is killed with seed 1.
ALSO = ["--also", "width=2"]
GRID = ["grid", "s", "--script", "train.py", "--levels", "lr=0.1,1", "--set", "width=1", *ALSO]
MORE = ["--seeds", "2", "--metric", "accuracy:max", "--max-retries", "0"]


def grid(folder: Path, *more: str, code: int) -> str:
    return ablate(*GRID, *MORE, *more, store=folder / "store", code=code)
