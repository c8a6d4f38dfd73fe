"""Two rings of points by a small network; with curves, checkpoints and exact resume.

ablate grid --subject examples/rings.py --factors width --levels dropout=0,0.5
"""

import torch
from torch import nn

import ablate


class Net(ablate.Section):
    width: int = ablate.setting(16, gt=0, help="hidden units")
    dropout: float = ablate.setting(0.0, ge=0, lt=1, help="share of the units that a step leaves out")


class Config(ablate.Config):
    net: Net = Net()
    lr: float = ablate.setting(0.02, gt=0, help="learning rate of Adam")
    noise: float = ablate.setting(0.25, ge=0, help="how far points are from their ring, in radii")
    epochs: int = ablate.setting(30, gt=0, help="passes over the points")


def rings(generator: torch.Generator, n: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around circles of radius 1 and 2, and on which of the two each lies."""
    on_outer = torch.arange(n) % 2
    angle = 2 * torch.pi * torch.rand(n, generator=generator)
    radius = 1 + on_outer + noise * torch.randn(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), on_outer.float()


def train(config: Config, run: ablate.Training) -> ablate.Scores:
    generator = torch.Generator().manual_seed(run.seed)
    points, labels = rings(generator, 512, config.noise)
    net = nn.Sequential(
        nn.Linear(2, config.net.width),
        nn.ReLU(),
        nn.Dropout(config.net.dropout),
        nn.Linear(config.net.width, 1),
    )  # its first weights follow from the seed, as ablate seeds torch before each run
    optimiser = torch.optim.Adam(net.parameters(), lr=config.lr)
    for _ in run.epochs(config.epochs, save={"net": net, "optimiser": optimiser}):
        net.train()
        losses = []
        for batch in torch.randperm(len(points)).split(64):
            loss = nn.functional.binary_cross_entropy_with_logits(net(points[batch])[:, 0], labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        run.report(loss=sum(losses) / len(losses))
    net.eval()
    points, labels = rings(generator, 2000, config.noise)
    with torch.inference_mode():
        logits = net(points)[:, 0]
        test_loss = nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
    accuracy = ((logits > 0) == (labels > 0)).double().mean().item()
    weights = sum(parameter.numel() for parameter in net.parameters())
    return ablate.Scores(accuracy=accuracy, test_loss=test_loss, facts={"n_parameters": weights})


subject = ablate.Subject(
    "rings",
    Config,
    train,
    metrics=[ablate.Metric("accuracy", unit="%"), ablate.Metric("test_loss", best="min")],
    factors=[
        ablate.Factor("width", "net.width", (4, 16, 32), "hidden units"),
        ablate.Factor("dropout", "net.dropout", (0.0, 0.2, 0.5), "share of the units that a step leaves out"),
        ablate.Factor("noise", "noise", (0.1, 0.25, 0.5), "how far points are from their ring, in radii"),
    ],
    profiles={"usual": {}, "long": {"epochs": 200}},
    packages=("torch",),
)
