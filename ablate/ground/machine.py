"""What this machine offers."""

import os
import platform
import re
from contextlib import suppress
from pathlib import Path


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


def memory_kills() -> int | None:
    """How many processes the system has killed for want of memory since it began; None where nobody counts.

    Linux counts them for the whole machine (``oom_kill``), in a container too.
    """
    try:
        counters = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^oom_kill (\d+)$", counters, re.MULTILINE)
    return None if found is None else int(found[1])


def killed_for_memory(before: int | None) -> bool:
    """Whether the system has killed anything for want of memory since ``memory_kills`` was ``before``."""
    now = memory_kills()
    return now is not None and before is not None and now > before


# Numerical libraries read these when a process starts. One process a core beats one process with all threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


# What of a processor's instructions decides in which order libraries add numbers.
WIDE = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve", "sve2")


def processor() -> str:
    """The processor, with those of its instructions that can change the last digits of a sum."""
    known: dict[str, str] = {}
    with suppress(OSError):  # not Linux
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            known.setdefault(name.strip(), value.strip())
    flags = known.get("flags", known.get("Features", "")).split()
    name = known.get("model name") or platform.processor() or platform.machine()
    wide = [flag for flag in WIDE if flag in flags]
    return name + (f" ({', '.join(wide)})" if wide else "")


def system() -> str:
    """The operating system and the C library, such as ``Linux x86_64, glibc 2.36``."""
    library = " ".join(platform.libc_ver()).strip()
    return f"{platform.system()} {platform.machine()}" + (f", {library}" if library else "")
