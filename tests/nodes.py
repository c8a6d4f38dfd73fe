"""A real Ray cluster on this host, of nodes that can be killed."""

import contextlib
import os
import signal
from typing import Any

from tests.processes import descendants


class Nodes:
    """Nodes of one core each; the head has none."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        self.raw = RayCluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20}
        )
        self.by_id: dict[str, Any] = {}

    def grow(self, n: int) -> None:
        while len(self.by_id) < n:
            node = self.raw.add_node(num_cpus=1, object_store_memory=80 << 20)
            self.by_id[node.node_id] = node

    def kill(self, node_id: str) -> None:
        """End a node with all that runs on it, as a loss of power does.

        Ray kills only its own daemon, whose actors live on until they notice; a training may finish by then.
        """
        node = self.by_id.pop(node_id)
        (daemon,) = node.all_processes["raylet"]
        its_own = descendants(daemon.process.pid)
        self.raw.remove_node(node, allow_graceful=False)
        for process in its_own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
