"""Which packages an exported network needs, in the versions that are installed here."""

from importlib.metadata import version

PACKAGES = ("torch", "numpy", "scipy", "librosa", "soundfile", "pandas")  # MLflow adds itself


def requirements() -> list[str]:
    """Lines of a requirements file. What a build says of itself, as in 2.13.0+cpu, is left out."""
    return [f"{package}=={version(package).partition('+')[0]}" for package in PACKAGES]
