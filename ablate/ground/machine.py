"""What this machine offers."""

import os


def available_cores() -> int:
    """Cores that this process may use: in a container or under Slurm fewer than the machine has."""
    import joblib  # which knows of CPU affinity and of container quotas

    # Not every Slurm binds its jobs to the cores that they have asked for.
    allocated = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(int(joblib.cpu_count()), int(allocated) if allocated.isdecimal() else 1_000_000)


def cluster_job() -> str | None:
    """The job of Slurm that this process is in: ``123_4`` for an element of an array; None outside of any."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array is not None and element is not None:
        return f"{array}_{element}"
    return os.environ.get("SLURM_JOB_ID")


# Numerical libraries read these when a process starts. One process a core beats one process with all threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
