"""What this machine offers."""


def available_cores() -> int:
    """Cores that this process may use: in a container or under Slurm fewer than the machine has."""
    import joblib  # which knows of CPU affinity and of container quotas

    return int(joblib.cpu_count())


# Numerical libraries read these when a process starts. One process a core beats one process with all threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
