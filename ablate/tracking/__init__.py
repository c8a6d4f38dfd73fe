"""Ships run folders to MLflow. The folders are the truth; MLflow is a projection that can be replayed."""

from ablate.tracking.tracker import Shipped, Tracker, TrackingUnavailable

__all__ = ["Shipped", "Tracker", "TrackingUnavailable"]
