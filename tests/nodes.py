"""A real Ray cluster on this host, of nodes that can be killed."""

from typing import Any


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
        self.raw.remove_node(self.by_id.pop(node_id), allow_graceful=False)
