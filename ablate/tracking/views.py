"""What a reader finds on opening an experiment in MLflow: a description, and views that are set up already.

A saved view is an experiment tag, which MLflow's own "Views" button writes and reads; ``ablate ui`` links to
one. Should a later MLflow store views differently, it says so and shows the plain table of runs.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from ablate.subject.interface import Card
from ablate.tracking.descriptions import description_tags

VIEW_TAG = "mlflow.sharedViewState."
CONDITIONS = "ablate-conditions"
RUNS = "ablate-runs"
DECISION_TAG = "ablate.decision"


def experiment_tags(card: Card, description: str) -> dict[str, str]:
    """The tags of a study's experiment, if no user has written its description."""
    scores = [f"metrics.`{name}`" for name in card.metrics.headline(card.metrics.names)]
    by_condition = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "condition"}],
    }
    return {
        **description_tags(description, {}),
        # Otherwise MLflow 3 guesses, and may open the experiment as one of language model traces.
        "mlflow.experimentKind": "custom_model_development",
        VIEW_TAG + CONDITIONS: _view("Conditions", scores, by_condition),
        VIEW_TAG + RUNS: _view("Runs", [*scores, "params.`seed`", "metrics.`duration_s`"], None),
    }


def decision_tags(digest: str, verdicts: Mapping[str, str]) -> dict[str, str]:
    """The tags of a study whose claims were decided: the plan's digest, and the verdict on each claim."""
    named = {re.sub(r"[^\w. -]", "_", claim): verdict for claim, verdict in verdicts.items()}
    return {f"{DECISION_TAG}.plan": digest} | {
        f"{DECISION_TAG}.{claim}": verdict for claim, verdict in named.items()
    }


def page(experiment_id: str) -> str:
    """Where a server shows the experiment's conditions, as the end of an address."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={CONDITIONS}"


def _view(name: str, columns: list[str], group_by: dict[str, Any] | None) -> str:
    """A saved view as the interface stores it: runs and groups in the order of training."""
    widths_px = {"attributes.`Run Name`": 330, "runDateAndNestInfo": 150} | dict.fromkeys(columns, 130)
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": list(widths_px),
        "columnWidths": widths_px,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": group_by,
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
