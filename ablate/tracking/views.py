"""What a reader finds in MLflow's interface on opening an experiment: how it opens, a description, saved views.

Saved views are experiment tags that MLflow's own "Views" button writes and reads; ``ablate ui`` links to them.
"""

import json
from typing import Any

VIEW_TAG = "mlflow.sharedViewState."
CONDITIONS = "ablate-conditions"
RUNS = "ablate-runs"

DESCRIPTION = """\
**Views** (top right) has *Conditions*, with means over the seeds, and *Runs*. To arrange it yourself: *Group by*
`condition`; each factor is a param of its own name, to filter by (`params.grl_pos = "S1"`).

Scores are fractions: `event_micro_f`, `scene_micro_f` and the like, per class under `event_f/` and
`scene_f/`; curves over the epochs are under `train/`. The artifacts of a run are its confusion matrix, its
tables per class, its configuration and its weights. Written by `ablate` from its run folders;
`ablate compare` has the differences between conditions, with confidence intervals.
"""

SCORES = ("scene_micro_f", "scene_macro_f", "event_micro_f", "event_macro_f")  # the columns of Table 3


def experiment_tags() -> dict[str, str]:
    """The tags of a study's experiment."""
    scores = [f"metrics.`{name}`" for name in SCORES]
    by_condition = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "condition"}],
    }
    return {
        "mlflow.note.content": DESCRIPTION,
        # Otherwise MLflow 3 guesses, and may open the experiment as one of language model traces.
        "mlflow.experimentKind": "custom_model_development",
        VIEW_TAG + CONDITIONS: _view("Conditions", [*scores, "params.`condition`"], by_condition),
        VIEW_TAG + RUNS: _view("Runs", [*scores, "params.`seed`", "metrics.`duration_s`"], None),
    }


def page(experiment_id: str) -> str:
    """Where the server shows the experiment's conditions, as the end of an address."""
    query = f"workflowType=machine_learning&viewStateShareKey={CONDITIONS}"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def _view(name: str, columns: list[str], group_by: dict[str, Any] | None) -> str:
    """A saved view as the interface stores it: the first run of each group on top, in the order of training."""
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": columns,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": group_by,
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
