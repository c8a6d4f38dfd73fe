"""Beside `light.py`."""

EPOCHS = 20
