"""The report of a study: one HTML file with everything in it, for a browser and for paper.

The page is ``report.html``, a jinja2 template that escapes whatever it is given, and ``report.js``, which
only arranges what is there; this module works out what it is given. The same results give the same bytes: no
time of writing is on the page.
"""

from dataclasses import replace
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from ablate.analysis import query, search_figures
from ablate.analysis import reportparts as parts
from ablate.analysis.figures import inline_svg
from ablate.analysis.material import Material
from ablate.analysis.pictures import Album, Picture, draw_album
from ablate.ground.version import VERSION
from ablate.record.rundir import State

MAX_MISSING = 100  # rows of the table of missing seeds; the list of runs has all


def album(material: Material) -> Album:
    """Every picture of the study, those of its search first."""
    found = draw_album(
        material.comparison,
        material.groups,
        material.folders,
        material.store,
        next(iter(material.effects), None),
    )
    if material.search is None:
        return found
    return replace(found, pictures=(*search_figures.pictures(material.search), *found.pictures))


def html(material: Material, pictures: Album) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_part("report.html"))
    anchors = {group.name: f"condition-{place + 1}" for place, group in enumerate(material.groups)}
    missing = [record for record in material.records if record.state is not State.FINISHED]
    return template.render(
        version=VERSION,
        study=material.study,
        question=[" ".join(part.split()) for part in material.details.question.split("\n\n") if part.strip()],
        summary=parts.summary(material),
        outcome=parts.outcome(material.verdicts),
        anchors=anchors,
        verdicts=[parts.verdict(verdict, query.units_of(material.records)) for verdict in material.verdicts],
        rule=parts.rule(material.verdicts),
        search=parts.search(material),
        decision=parts.decided(material),
        noise=[parts.spreads(name, found, material) for name, found in material.noise.items()],
        published=parts.published(material),
        published_heading=parts.published_heading(material),
        source=material.details.source.rstrip("."),
        comparison=parts.comparison(material.comparison, material.groups),
        added=parts.comparison(material.added, material.groups) if material.added else None,
        effects=[parts.effects(each) for each in material.effects],
        figures=[
            {"id": picture.id, "title": picture.title, "caption": picture.caption,
             "svg": _image(picture)}
            for picture in pictures.pictures
        ],
        left_out=pictures.left_out,
        missing=[parts.missing(record, material.groups) for record in missing[:MAX_MISSING]],
        n_missing_unlisted=max(0, len(missing) - MAX_MISSING),
        provenance=parts.provenance(material),
        commands=material.commands,
        settings=parts.settings(material),
        has_mlflow=any(record.mlflow_run_id for record in material.records),
        groups=[parts.group(group, anchors, material) for group in material.groups],
        script=Markup(_part("report.js")),
    )  # fmt: skip


def _part(name: str) -> str:
    return files("ablate.analysis").joinpath(name).read_text(encoding="utf-8")


def _image(picture: Picture) -> Markup:
    """The picture with its title and caption as the text that stands for it."""
    text = escape(f"{picture.title}. {picture.caption}")
    return Markup(inline_svg(picture.figure)).replace(
        "<svg", Markup('<svg role="img" aria-label="{}"').format(text), 1
    )
