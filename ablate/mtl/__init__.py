"""The built-in subject: Imoto et al. (2022), scenes and events learnt by one network.

Everything of the paper is in here; the harness outside knows nothing of it. It asks for two things by name:
``subject``, which answers what ``ablate.subject.interface`` asks, and ``commands``, those of its own.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Each when it is asked for: most commands need only one of them, and ``--help`` not the first."""
    if name == "subject":
        from ablate.mtl.definition import subject

        return subject
    if name == "commands":
        from ablate.mtl.data_command import app
        from ablate.mtl.export_command import export
        from ablate.mtl.predict_command import predict
        from ablate.mtl.rescore_command import rescore

        return {"data": app, "rescore": rescore, "predict": predict, "export": export}
    raise AttributeError(f"module 'ablate.mtl' has no attribute '{name}'")
