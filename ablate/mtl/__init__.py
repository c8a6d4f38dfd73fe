"""The built-in subject: Imoto et al. (2022), scenes and events learnt by one network.

Everything of the paper is in here; the harness outside knows nothing of it. It asks for two things by name:
``subject``, which answers what ``ablate.subject.interface`` asks, and ``commands``, those of its own.
"""

from typing import Any

# Name -> its line of the help, which begins its docstring, and the function or the typer application.
commands = {
    "data": ("Make, download, prepare, check and describe data sets.", "ablate.mtl.data_command:app"),
    "rescore": (
        "Score a study's runs by other metrics, thresholds or smoothing; nothing is trained again.",
        "ablate.mtl.rescore_command:rescore",
    ),
    "predict": (
        "Say which scene and which events a run's network hears in recordings.",
        "ablate.mtl.predict_command:predict",
    ),
    "export": (
        "Write a run's network as an MLflow model and a torch.export program, with a model card.",
        "ablate.mtl.export_command:export",
    ),
}


def __getattr__(name: str) -> Any:
    """The subject when it is asked for: most commands do without."""
    if name == "subject":
        from ablate.mtl.definition import subject

        return subject
    raise AttributeError(f"module 'ablate.mtl' has no attribute '{name}'")
