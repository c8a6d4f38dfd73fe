"""Ships run folders to MLflow. The folders are the truth; MLflow is a projection that can be replayed."""

from ablate.tracking.problems import TrackingRefused, TrackingUnavailable
from ablate.tracking.tracker import Shipped, Tracker

__all__ = ["Shipped", "Tracker", "TrackingRefused", "TrackingUnavailable"]
