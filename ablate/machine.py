"""What this machine offers."""


def available_cores() -> int:
    """Cores that this process may use: in a container or under Slurm fewer than the machine has."""
    import joblib  # which knows of CPU affinity and of container quotas

    return int(joblib.cpu_count())
