"""An ablation harness for audio deep learning."""

__version__ = "0.1.0"
