"""For tests with Ray, which reads its environment when it is imported: no servers but on loopback."""

import os

from ablate.launch.ray_cluster import LOOPBACK, QUIET

os.environ.update({**QUIET, **LOOPBACK})
