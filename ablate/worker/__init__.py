"""The worker: trains the runs it is given and records each in its folder. It knows nothing of MLflow."""
