"""The scores of the paper's study, as the harness shows them. All are fractions of which more is better."""

from ablate.subject.metrics import FRACTION, Metric

DECLARED: tuple[Metric, ...] = (
    Metric("scene_micro_f", unit=FRACTION, short="scene F", headline=True, closing=True),
    Metric("scene_macro_f", unit=FRACTION, headline=True),
    Metric("event_micro_f", unit=FRACTION, short="event F", headline=True, closing=True),
    Metric("event_macro_f", unit=FRACTION, headline=True),
    Metric("event_micro_precision", unit=FRACTION),
    Metric("event_micro_recall", unit=FRACTION),
    Metric("event_micro_f_without_fan", unit=FRACTION),
    Metric("event_macro_f_without_fan", unit=FRACTION),
    Metric("event_f/*", unit=FRACTION, headline=True),
    Metric("scene_f/*", unit=FRACTION),
    *(
        Metric(f"{task}_{kind}/*", unit=FRACTION, chart=False)
        for task in ("event", "scene")
        for kind in ("precision", "recall")
    ),
    Metric("scene_confusion/*", unit=FRACTION, chart=False),
    *(
        Metric(f"event_{average}_f_{kind}", unit=FRACTION)
        for kind in ("segment", "collar", "intersection")
        for average in ("micro", "macro")
    ),
    *(
        Metric(f"event_f_{kind}/*", unit=FRACTION, chart=False)
        for kind in ("segment", "collar", "intersection")
    ),
    *(Metric(f"event_error_{kind}", best="min") for kind in ("segment", "collar")),
    *(Metric(name, unit=FRACTION) for name in ("event_map", "psds1", "psds2")),
    *(Metric(f"{name}/*", unit=FRACTION, chart=False) for name in ("event_ap", "psds1", "psds2")),
)
