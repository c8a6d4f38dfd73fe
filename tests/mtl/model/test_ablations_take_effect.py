"""Proof, on the trained objects, that each factor does what its name says: gradients and weights.

One harness trained the unmodified model for custom ablations, and nobody noticed. Here every value of every
factor stands in a table, and the table is checked against the configuration's own types.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from ablate.mtl.config import GrlPosition, RunConfig, Shuffle, Tasks
from ablate.mtl.model.labels import training_labels
from ablate.mtl.model.losses import losses
from ablate.mtl.model.mtl import Mtl

BASE: dict[str, Any] = {"model.width": 1 / 32, "loss.alpha": 0.3, "loss.beta": 0.7}
PARTS = ("shared", "scene_convs", "scene_head", "event_gru", "event_head")
SCENE_PARTS = ("scene_convs", "scene_head")
EVENT_PARTS = ("event_gru", "event_head")


@dataclass(frozen=True)
class Batch:
    features: Tensor
    scenes: Tensor
    events: Tensor
    mask: Tensor


@pytest.fixture(scope="module")
def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    return Batch(
        torch.randn(3, 25, 64, generator=random),
        torch.tensor([0, 1, 3]),
        (torch.rand(3, 25, 25, generator=random) < 0.2).to(torch.uint8),
        torch.ones(3, 25, dtype=torch.uint8),
    )


def gradients(values: dict[str, Any], batch: Batch, of: str = "total") -> dict[str, Tensor]:
    """Each part's gradient, flattened, in double precision; ``of``: total, or one branch's weighted loss."""
    config = RunConfig().override(BASE | values)
    model = Mtl(config, 4, 25).double()
    output = model(batch.features.double())
    loss = losses(output, batch.scenes, batch.events, batch.mask, config.loss)
    chosen = {"total": loss.total, "scene": loss.scene, "event": loss.event}[of]
    chosen.backward()
    return {
        part: torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in weights])
        for part in PARTS
        if hasattr(model, part) and (weights := list(getattr(model, part).parameters()))
    }


# Position -> the branch that it is in, and those of the branch's parts that see the reversed gradient
# beside the shared layers. The others see the plain one.
REVERSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "S1": ("scene", ()),
    "S2": ("scene", ("scene_convs",)),
    "E1": ("event", ()),
    "E2": ("event", ("event_gru",)),
}


@pytest.mark.parametrize("kernels", ["plain", "fast"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("position", REVERSED)
def test_a_reversal_multiplies_by_minus_lambda_what_its_branch_sends_below_it(
    position: str, strength: float, kernels: str, batch: Batch
) -> None:
    branch, reversed_parts = REVERSED[position]
    grl = {"grl.position": position, "grl.strength": strength, "kernels": kernels}
    plain = gradients({"kernels": kernels}, batch, of=branch)
    reversed_ = gradients(grl, batch, of=branch)
    assert plain["shared"].norm() > 0
    for part in PARTS:
        factor = -strength if part == "shared" or part in reversed_parts else 1.0
        torch.testing.assert_close(reversed_[part], factor * plain[part], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("position", REVERSED)
def test_a_reversal_leaves_the_other_branch_s_contribution_alone(position: str, batch: Batch) -> None:
    other = {"scene": "event", "event": "scene"}[REVERSED[position][0]]
    plain, reversed_ = (gradients({"grl.position": p}, batch, of=other) for p in ("none", position))
    for part in PARTS:
        assert torch.equal(plain[part], reversed_[part]), part


@pytest.mark.parametrize("position", REVERSED)
def test_the_total_gradient_is_the_sum_of_both_branches(position: str, batch: Batch) -> None:
    grl = {"grl.position": position, "grl.strength": 2.0}
    total, scene, event = (gradients(grl, batch, of) for of in ("total", "scene", "event"))
    for part in PARTS:
        expected = BASE["loss.alpha"] * scene[part] + BASE["loss.beta"] * event[part]
        torch.testing.assert_close(total[part], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("weight", "own", "other"),
    [("loss.alpha", SCENE_PARTS, EVENT_PARTS), ("loss.beta", EVENT_PARTS, SCENE_PARTS)],
)
@pytest.mark.parametrize("factor", [0.0, 10.0])
def test_a_loss_s_weight_scales_its_branch_alone(
    weight: str, own: tuple[str, ...], other: tuple[str, ...], factor: float, batch: Batch
) -> None:
    before = gradients({}, batch)
    after = gradients({weight: factor * BASE[weight]}, batch)
    for part in own:
        torch.testing.assert_close(after[part], factor * before[part], rtol=1e-9, atol=1e-12)
    for part in other:
        assert torch.equal(after[part], before[part]), part
    assert not torch.allclose(after["shared"], before["shared"])


@pytest.mark.parametrize(("tasks", "missing"), [("both", ()), ("scene", EVENT_PARTS), ("event", SCENE_PARTS)])
def test_tasks_decide_which_branches_exist_and_what_reaches_the_shared_layers(
    tasks: str, missing: tuple[str, ...], batch: Batch
) -> None:
    found = gradients({"tasks": tasks}, batch)
    assert set(found) == set(PARTS) - set(missing)
    if tasks != "both":
        torch.testing.assert_close(
            gradients({"tasks": tasks}, batch, of=tasks)["shared"],
            gradients({}, batch, of=tasks)["shared"],
        )


@pytest.mark.parametrize(
    ("shuffle", "changed"),
    [("none", ()), ("scene", SCENE_PARTS), ("event", EVENT_PARTS), ("both", SCENE_PARTS + EVENT_PARTS)],
)
def test_fake_labels_change_the_gradients_of_their_branch(
    shuffle: str, changed: tuple[str, ...], batch: Batch
) -> None:
    config = RunConfig().override({"labels.shuffle": shuffle})
    scenes, events = training_labels(batch.scenes.numpy(), batch.events.numpy(), 4, config, epoch=1)
    fake = Batch(batch.features, torch.from_numpy(scenes), torch.from_numpy(events), batch.mask)
    before, after = gradients({}, batch), gradients({}, fake)
    differ = {part for part in PARTS if not torch.equal(before[part], after[part])}
    assert differ == {*changed, "shared"} if changed else not differ


def test_the_event_loss_s_reduction_scales_the_event_gradient(batch: Batch) -> None:
    """Nothing is padded, so the sum over a clip is its mean times its frames and classes."""
    mean, total = (gradients({"loss.event_reduction": r}, batch, of="event") for r in ("mean", "sum"))
    torch.testing.assert_close(total["event_head"], 25 * 25 * mean["event_head"], rtol=1e-9, atol=1e-12)


# --- none is forgotten --------------------------------------------------------------------------------------

TABLES: dict[str, tuple[Any, set[str]]] = {
    "grl.position": (GrlPosition, {"none", *REVERSED}),
    "labels.shuffle": (Shuffle, {"none", "scene", "event", "both"}),
    "tasks": (Tasks, {"both", "scene", "event"}),
}


@pytest.mark.parametrize("factor", TABLES)
def test_the_tables_above_name_every_level(factor: str) -> None:
    levels, tested = TABLES[factor]
    assert set(get_args(levels)) == tested


# --- after real steps ---------------------------------------------------------------------------------------

# What is varied -> the parts whose weights must differ from the baseline's after one step. Every part
# starts equal, and a part whose gradients are equal must stay equal.
AFTER_ONE_STEP: dict[str, tuple[dict[str, Any], set[str]]] = {
    "S1": ({"grl.position": "S1"}, {"shared"}),
    "S2": ({"grl.position": "S2"}, {"shared", "scene_convs"}),
    "E1": ({"grl.position": "E1"}, {"shared"}),
    "E2": ({"grl.position": "E2"}, {"shared", "event_gru"}),
    "lambda 0 at S1": ({"grl.position": "S1", "grl.strength": 0.0}, {"shared"}),
    "alpha": ({"loss.alpha": 3.0}, {"shared", *SCENE_PARTS}),
    "beta": ({"loss.beta": 3.0}, {"shared", *EVENT_PARTS}),
}


@pytest.mark.parametrize("name", AFTER_ONE_STEP)
def test_weights_start_equal_and_differ_after_a_step_where_they_should(name: str, batch: Batch) -> None:
    values, expected = AFTER_ONE_STEP[name]
    baseline, model = step_once({}, batch), step_once(values, batch)
    differ = {part for part in PARTS if not same(getattr(baseline, part), getattr(model, part))}
    assert differ == expected


def step_once(values: dict[str, Any], batch: Batch) -> Mtl:
    """Plain gradient descent: unlike RAdam, its step shows the gradient's size."""
    config = RunConfig().override(BASE | values)
    model = Mtl(config, 4, 25)
    loss = losses(model(batch.features), batch.scenes, batch.events, batch.mask, config.loss)
    loss.total.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    compare: Callable[[Tensor, Tensor], bool] = torch.equal
    return all(compare(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
