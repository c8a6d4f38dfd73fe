"""How often ``ablate decide`` is wrong, what it finds, and how many seeds that takes.

Studies are simulated and decided by the code that the command decides by, from a plan and the scores of
seeds: claims without an effect, and with one of d standard deviations of the paired differences. ``fixed 10``
and ``fixed 20`` look once. AdaStop (Mathieu et al., TMLR 2024; unpaired) decides the same studies where it is
installed, with as many looks at as many seeds; there, the seeds of a study move both conditions alike by a
share ``rho`` of their variance. Last, whole commands train studies of a module whose score is drawn from its
seed.

    python -m benchmarks.deciding --jobs 2 --output benchmarks/results/deciding.json
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.analysis.deciding import (
    REJECTED,
    Scores,
    make_plan,
    next_look,
    open_claims,
    rule_of,
    take_look,
    with_levels,
)
from ablate.design.claims import Claim
from ablate.record.decision import Finding, Method, Plan
from benchmarks.common import ROOT, Row, context, parser, show, write

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

MAX_SEEDS = 20
LOOKS = (5, 10, 15, 20)
METRIC = "score"
NORMAL, HEAVY = "normal", "t, 3 degrees"
DRAWS: dict[str, Draw] = {
    NORMAL: lambda rng, shape: rng.standard_normal(shape),
    HEAVY: lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),  # a variance of 1
}
RULES: dict[str, tuple[Method, tuple[int, ...]]] = {
    "looks 5,10,15,20": ("group sequential", LOOKS),
    "anytime": ("anytime-valid", tuple(range(3, MAX_SEEDS + 1))),
    "fixed 10": ("group sequential", (10,)),
    "fixed 20": ("group sequential", (20,)),
}


def plan_of(rule: str, n_claims: int) -> Plan:
    """Claims on conditions of their own."""
    claims = [Claim(f"C{k}", "", METRIC, (f"better{k}",), (f"worse{k}",)) for k in range(n_claims)]
    ids = {f"{side}{k}": f"{side}{k}" for k in range(n_claims) for side in ("better", "worse")}
    method, looks = RULES[rule]
    return with_levels(make_plan("simulated", "none", claims, ids, method, looks, 0.05))


def decided(plan: Plan, scores: Scores) -> dict[str, Finding]:
    """What the looks of a whole decision say, the last one at each claim."""
    rule, findings, last = rule_of(plan), dict[str, Finding](), 0
    while open_claims(plan, findings) and (n := next_look(plan, last)) is not None:
        findings |= take_look(plan, rule, n, scores, {METRIC: 1}, findings)
        last = n
    return findings


def scores_of(differences: NDArray[np.float64]) -> Scores:
    """Scores with these differences, (n_claims, n_seeds)."""
    nothing = dict.fromkeys(range(differences.shape[1]), 0.0)
    return {
        (f"{side}{k}", METRIC): dict(enumerate(row.tolist())) if side == "better" else nothing
        for k, row in enumerate(differences)
        for side in ("better", "worse")
    }


def simulate(rule: str, noise: str, effects: Sequence[float], n_studies: int, seed: int = 1) -> Row:
    """Shares of studies: with any wrong verdict, and of true claims supported; and mean seeds a claim."""
    plan, rng = plan_of(rule, len(effects)), np.random.default_rng(seed)
    shift = np.array(effects)[:, None]
    wrong = supported = seeds = 0
    for _ in range(n_studies):
        found = decided(plan, scores_of(shift + DRAWS[noise](rng, (len(effects), MAX_SEEDS))))
        verdicts = [found[claim.id].verdict for claim in plan.claims]
        wrong += any(
            verdict in REJECTED and (effect == 0 or verdict == "refuted")
            for verdict, effect in zip(verdicts, effects, strict=True)
        )
        supported += sum(
            verdict == "supported" and effect > 0 for verdict, effect in zip(verdicts, effects, strict=True)
        )
        seeds += sum(finding.n for finding in found.values())
    n_true = sum(effect > 0 for effect in effects)
    return {
        "rule": rule,
        "claims": len(effects),
        "effects": _effects(effects),
        "noise": noise,
        "studies": n_studies,
        "wrong": round(wrong / n_studies, 4),
        "power": round(supported / (n_true * n_studies), 4) if n_true else None,
        "seeds": round(seeds / (n_studies * len(effects)), 2),
    }


def _effects(effects: Sequence[float]) -> str:
    return ", ".join(f"{list(effects).count(effect)} x {effect:g}" for effect in dict.fromkeys(effects))


def simulations(n_studies: int) -> list[tuple[Callable[..., Row], tuple[object, ...]]]:
    """What to simulate: the function, and what it is to be called with."""
    null = [
        (rule, noise, [0.0] * n_claims, _fewer(rule, n_claims, n_studies))
        for noise in DRAWS
        for n_claims in (1, 8)
        for rule in RULES
    ]
    single = [(rule, NORMAL, [effect], n_studies) for rule in RULES for effect in (0.8, 1.0, 1.5)]
    eight = [(rule, NORMAL, [1.0] * 8, _fewer(rule, 8, n_studies)) for rule in RULES]
    half = [("looks 5,10,15,20", NORMAL, [1.5] * 4 + [0.0] * 4, n_studies)]
    return [(simulate, asked) for asked in (*null, *single, *eight, *half)]


def _fewer(rule: str, n_claims: int, n_studies: int) -> int:
    """Eighteen looks at eight claims take their time."""
    return n_studies // 4 if rule == "anytime" and n_claims > 1 else n_studies


# ------------------------------------------------------------------------------------- beside AdaStop


JUDGES = {"ablate decide": None, "AdaStop, alpha 0.05": 0.05, "AdaStop, alpha 0.025": 0.025}


def besides(n_studies: int) -> list[tuple[Callable[..., Row], tuple[object, ...]]]:
    """As ``simulations``: one claim, AdaStop beside; of the variance of scores a seed has the share rho."""
    return [
        (beside, (judge, rho, effect, n_studies))
        for rho in (0.0, 0.5)
        for effect in (0.0, 0.5, 1.0)
        for judge in JUDGES
    ]


def beside(name: str, rho: float, effect: float, n_studies: int) -> Row:
    """How often a judge tells two conditions apart, and the seeds that it takes of each."""
    alpha = JUDGES[name]
    judge = _by_looks() if alpha is None else partial(_by_adastop, alpha)
    started = time.process_time()
    found = [judge(*_pair(np.random.default_rng(study), rho, effect)) for study in range(n_studies)]
    return {
        "rule": name,
        "rho": rho,
        "effect": effect,
        "studies": n_studies,
        "decided": round(sum(is_decided for is_decided, _ in found) / n_studies, 4),
        "seeds": round(sum(n for _, n in found) / n_studies, 2),
        "cpu_ms": round(1000 * (time.process_time() - started) / n_studies, 1),
    }


def _pair(rng: np.random.Generator, rho: float, effect: float) -> tuple[list[float], list[float]]:
    """Scores whose difference has an effect in its own standard deviations without pairing, sqrt(2)."""
    shared, ours, theirs = rng.standard_normal((3, MAX_SEEDS))
    better = np.sqrt(rho) * shared + np.sqrt(1 - rho) * ours + effect * np.sqrt(2)
    worse = np.sqrt(rho) * shared + np.sqrt(1 - rho) * theirs
    return better.tolist(), worse.tolist()


def _by_looks() -> Callable[[list[float], list[float]], tuple[bool, int]]:
    plan = plan_of("looks 5,10,15,20", 1)

    def judge(better: list[float], worse: list[float]) -> tuple[bool, int]:
        scores = {("better0", METRIC): dict(enumerate(better)), ("worse0", METRIC): dict(enumerate(worse))}
        found = decided(plan, scores)["C0"]
        return found.verdict in REJECTED, found.n

    return judge


def _by_adastop(alpha: float, better: list[float], worse: list[float]) -> tuple[bool, int]:
    from adastop import MultipleAgentsComparator

    comparator = MultipleAgentsComparator(n=LOOKS[0], K=len(LOOKS), B=10_000, alpha=alpha, seed=0)
    for n in LOOKS:
        values = {"better": np.array(better[:n]), "worse": np.array(worse[:n])}
        comparator.partial_compare(values, verbose=False)
        if comparator.is_finished:
            break
    return set(comparator.decisions.values()) <= {"larger", "smaller"}, n


# ------------------------------------------------------------------------------------- whole commands

MODULE = """\
import random
import ablate

class Config(ablate.Config):
    study: int = 0
    better: int = 0
    effect: float = 0.0

def train(config, run):
    noise = random.Random(f"{config.study} {config.better} {config.seed}").gauss(0, 1)
    return ablate.Scores(score=config.better * config.effect * 2**0.5 + noise)

subject = ablate.Subject("drawn", Config, train)
"""
STUDY = """\
name = "s{study}"
[subject]
module = "drawn.py"
[set]
study = {study}
effect = {effect}
[conditions]
better0 = {{ better = 1 }}
worse0 = {{ better = 0 }}
[claims.C0]
text = "better"
metric = "score"
better = "better0"
worse = "worse0"
"""


def commands(n_studies: int) -> Iterator[Row]:
    """Studies through the whole command, every other one with an effect of 1, and as simulated."""
    agreeing = runs = wall_s = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "drawn.py").write_text(MODULE)
        for study in range(n_studies):
            effect = study % 2
            file = folder / f"s{study}.toml"
            file.write_text(STUDY.format(study=study, effect=float(effect)))
            started = time.perf_counter()
            shown = _decide(file, folder)
            wall_s += time.perf_counter() - started
            expected = decided(plan_of("looks 5,10,15,20", 1), _drawn(study, effect))["C0"]
            needed = shown["runs"]["needed"]
            agreeing += (shown["verdicts"]["C0"], needed) == (expected.verdict, 2 * expected.n)
            runs += needed
    yield {
        "commands": n_studies,
        "as_simulated": int(agreeing),
        "runs": int(runs),
        "most_runs": 2 * MAX_SEEDS * n_studies,
        "wall_s": round(wall_s / n_studies, 1),
    }


def _decide(file: Path, folder: Path) -> Mapping[str, dict[str, int]]:
    """What the command prints. Without an MLflow to ship to, which is measured elsewhere."""
    words = ["decide", file.name, "--launcher", "inline", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "ablate.cli.app", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: Mapping[str, dict[str, int]] = json.loads(done.stdout)
    return found


def _drawn(study: int, effect: float) -> Scores:
    """The scores that the module draws."""
    return {
        (name, METRIC): {
            seed: better * effect * 2**0.5 + random.Random(f"{study} {better} {seed}").gauss(0, 1)
            for seed in range(MAX_SEEDS)
        }
        for name, better in (("better0", 1), ("worse0", 0))
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--studies", type=int, default=20_000, help="simulated ones of each kind")
    options.add_argument("--peer-studies", type=int, default=200, help="decided by AdaStop, of each kind")
    options.add_argument("--commands", type=int, default=50, help="studies through the whole command")
    options.add_argument("--jobs", type=int, default=1, help="processes that simulate")
    chosen = options.parse_args()
    where = context("numpy", "scipy", "adastop")
    asked = simulations(chosen.studies) if chosen.studies else []
    if "adastop" in where["versions"]:
        asked += besides(chosen.peer_studies) if chosen.peer_studies else []
    else:
        print("AdaStop is not installed, and left out; see benchmarks/peers.txt")
    rows: list[Row] = []
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for each in [pool.submit(function, *arguments) for function, arguments in asked]:
            rows.append(each.result())
            show(rows[-1])
    for row in commands(chosen.commands) if chosen.commands else ():
        rows.append(row)
        show(row)
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
