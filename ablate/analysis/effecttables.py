"""Effects as text: for a terminal, Markdown and JSON. The same effects give the same bytes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ablate.analysis.compare import folding_of
from ablate.analysis.contrasts import Column as Kind
from ablate.analysis.contrasts import Kind as Design
from ablate.analysis.effects import CERTAIN, Effect, Effects, MetricEffects
from ablate.analysis.intervals import CONFIDENCE
from ablate.analysis.layout import Column, filled, text_table
from ablate.analysis.tables import DOWN, SIGNIFICANT, UP, metric_title, missing_notes, pipes, seed_list
from ablate.analysis.units import NOTHING, Scale, heading, title_unit
from ablate.analysis.variance import NOISE, REST
from ablate.ground.jsontext import as_json
from ablate.ground.wording import some

TITLES = {
    "grid": "main effects and interactions",
    "both": "effects alone and in company",
    "ladder": "effects of the steps of a ladder",
}
MOST_NAMED = 4  # cells in one sentence


# Cells.


def scale_of(effects: Effects, found: MetricEffects) -> Scale:
    """How a metric's differences are written."""
    means = [effect.difference.mean for row in found.rows for effect in row.effects.values()]
    return Scale.of(effects.units.of(found.metric), means)


def marks(effect: Effect) -> str:
    arrow = {1: UP, -1: DOWN, 0: ""}[effect.difference.direction]
    return arrow + SIGNIFICANT * effect.is_certain


def interval(effect: Effect, scale: Scale) -> str:
    return scale.interval(effect.difference.ci_low, effect.difference.ci_high)


def p_value(effect: Effect) -> str:
    p = effect.p_holm
    return NOTHING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


def share_terms(effects: Effects) -> list[str]:
    return list(dict.fromkeys(term for found in effects.metrics for term in found.shares))


# The formats.


def terminal(parts: Sequence[Effects], width: int | None = None) -> str:
    """The effects, the shares of variance below them, and the notes, in at most ``width`` characters."""
    return "\n".join("\n\n".join(_terminal(effects, width)) + "\n" for effects in parts)


def _terminal(effects: Effects, width: int | None) -> Iterator[str]:
    names = [found.metric for found in effects.metrics]
    labels = [row.label for row in effects.metrics[0].rows]
    columns = [_columns(effects, found, kind) for found in effects.metrics for kind in effects.columns]
    yield filled(f"study {effects.study}: {TITLES[effects.kind]}, {heading(effects.units, names)}", width)
    yield text_table(Column(("effect of",), tuple(labels), text=True), [], columns, width)
    yield from _share_table(effects, width)
    yield filled("\n".join(notes(effects)), width)


def _columns(effects: Effects, found: MetricEffects, kind: Kind) -> list[Column]:
    scale = scale_of(effects, found)
    cells = [row.effects[kind] for row in found.rows]
    names = [each.metric for each in effects.metrics]
    titles = metric_title(effects.units, found.metric)
    titles[-1] += title_unit(effects.units, names, found.metric)
    above = (*titles, kind) if len(effects.columns) > 1 else tuple(titles)
    longest = max(len(marks(cell)) for cell in cells)
    deltas = [f"{scale.difference(cell.difference.mean)}{marks(cell).ljust(longest)}" for cell in cells]
    return [
        Column((*above, "Δ"), tuple(deltas)),
        Column(("95 % CI of Δ",), tuple(interval(cell, scale) for cell in cells), gap=1),
        Column(("p",), tuple(map(p_value, cells)), gap=1),
    ]


def _share_table(effects: Effects, width: int | None) -> Iterator[str]:
    terms = share_terms(effects)
    if terms:
        label = Column(("% of variance",), tuple(terms), text=True)
        columns = [
            [
                Column(
                    tuple(metric_title(effects.units, found.metric)),
                    tuple(share(found.shares.get(term)) for term in terms),
                )
            ]
            for found in effects.metrics
        ]
        yield text_table(label, [], columns, width)


def markdown(parts: Sequence[Effects], _width: int | None = None) -> str:
    """A table of effects and one of shares, then the notes as a list."""
    return "\n".join(map(_markdown, parts))


def _markdown(effects: Effects) -> str:
    header = ["effect of"]
    for found in effects.metrics:
        label = f"{effects.units.label(found.metric)}{scale_of(effects, found).suffix}"
        for kind in effects.columns:
            header += [f"{label}, {kind}" if len(effects.columns) > 1 else label, "p"]
    lines = [pipes(header), pipes(["---", *["---:"] * (len(header) - 1)])]
    for place, row in enumerate(effects.metrics[0].rows):
        cells = [_escaped(row.label)]
        for found in effects.metrics:
            scale = scale_of(effects, found)
            for kind in effects.columns:
                effect = found.rows[place].effects[kind]
                delta = f"{scale.difference(effect.difference.mean)}{_escaped(marks(effect))}"
                cells += [f"{delta} {interval(effect, scale)}".strip(), p_value(effect)]
        lines.append(pipes(cells))
    return (
        "\n".join([*lines, "", *_markdown_shares(effects), *(f"- {line}" for line in notes(effects))]) + "\n"
    )


def _markdown_shares(effects: Effects) -> Iterator[str]:
    terms = share_terms(effects)
    if terms:
        labels = [effects.units.label(found.metric) for found in effects.metrics]
        yield pipes(["% of variance", *labels])
        yield pipes(["---", *["---:"] * len(labels)])
        for term in terms:
            yield pipes([_escaped(term), *(share(found.shares.get(term)) for found in effects.metrics)])
        yield ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace(SIGNIFICANT, "\\*")


def json_text(parts: Sequence[Effects], _width: int | None = None) -> str:
    """``content`` as text."""
    return as_json(content(parts)) + "\n"


def content(parts: Sequence[Effects]) -> dict[str, Any]:
    """``documents.Effects``, differences as they are stored; a part for each design."""
    return {
        "schema": "ablate.effects/1",
        "study": parts[0].study,
        "confidence": CONFIDENCE,
        "parts": [_part(effects) for effects in parts],
    }


def _part(effects: Effects) -> dict[str, Any]:
    return {
        "design": effects.kind,
        "factors": {axis.name: [axis.tick(level) for level in axis.levels] for axis in effects.axes},
        "conditions": [group.name for group in effects.groups],
        "stand_ins": dict(effects.stand_ins),
        "metrics": {found.metric: _content(found) for found in effects.metrics},
        "left_out": list(effects.left_out),
    }


def _content(found: MetricEffects) -> dict[str, Any]:
    return {
        "seeds": list(found.seeds),
        "effects": [
            {
                "effect_of": row.label,
                "factors": list(row.factors),
                **{kind: _effect(effect) for kind, effect in row.effects.items()},
            }
            for row in found.rows
        ],
        "variance": dict(found.shares),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {**asdict(effect.difference), "p_holm": effect.p_holm}


# Notes: how to read the tables, and everything that they leave out.


def notes(effects: Effects) -> list[str]:
    """One sentence each; the legend first."""
    return [
        _meaning(effects),
        _legend(effects),
        *_share_note(effects),
        *_stand_in_note(effects),
        *_others_note(effects),
        *_folding_note(effects),
        *missing_notes((group.name, group.missing()) for group in effects.groups),
        *effects.left_out,
    ]


_MEANING: dict[Design, str] = {
    "both": "Alone: what a change makes of the baseline. In company: what it makes of the system that has "
    "all the others. Interaction: in company less alone. All within each seed.",
    "ladder": "Δ is what each step adds to the one before, within each seed. It depends on the order of the "
    "steps: in another order, the same factor can have another effect.",
}


def _meaning(effects: Effects) -> str:
    if effects.kind != "grid":
        return _MEANING[effects.kind]
    first = ", ".join(axis.label(axis.levels[0]) for axis in effects.axes)
    main = f"Δ is the mean difference from {first}, averaged over the levels of the other factors"
    if len(effects.axes) == 1:
        return f"Δ is the mean difference from {first}, within each seed."
    return f"{main}; of a pair (x), how the effect of one changes with the other. All within each seed."


def _legend(effects: Effects) -> str:
    tests = sum(len(row.effects) for row in effects.metrics[0].rows)
    seeds = "; ".join(dict.fromkeys(seed_list(found.seeds) for found in effects.metrics))
    return (
        f"{UP} {DOWN} the 95 % CI (paired t) excludes zero; p is adjusted for the {tests} tests of its "
        f"metric (Holm), {SIGNIFICANT} p < {CERTAIN}. n = {', '.join(_counts(effects))}: {seeds}."
    )


def _counts(effects: Effects) -> list[str]:
    return list(dict.fromkeys(str(len(found.seeds)) for found in effects.metrics))


def _share_note(effects: Effects) -> Iterator[str]:
    terms = share_terms(effects)
    if terms:
        rest = f"; {REST}: of three factors or more" if REST in terms else ""
        yield (
            f"Variance of the scores over the combinations, each weighing the same; {NOISE}: what conditions "
            f"differ by from seed to seed{rest}."
        )


def _stand_in_note(effects: Effects) -> Iterator[str]:
    pairs = [f"{cell} is {name}" for cell, name in effects.stand_ins.items()]
    if pairs:
        yield f"The same training under two names: {some(pairs, MOST_NAMED)}."


def _others_note(effects: Effects) -> Iterator[str]:
    if effects.n_others:
        noun = "condition" if effects.n_others == 1 else "conditions"
        yield f"{effects.n_others} other {noun} of the study have no part in this; `ablate compare` has all."


def _folding_note(effects: Effects) -> Iterator[str]:
    folding = folding_of(effects.groups, [found.metric for found in effects.metrics])
    if folding is not None:
        yield folding.note


FORMATS: dict[str, Callable[[Sequence[Effects], int | None], str]] = {
    "table": terminal,
    "markdown": markdown,
    "json": json_text,
}
