"""Commands at once that share the seconds of their imports: ``python -m tests.faults.forks 8 grid ...``.

Each is a fork of this process, taken after the imports and before any thread. Exit code 0 when all had 0.
"""

import os
import sys

import torch

import ablate.analysis.compare
import ablate.campaign.campaign
import ablate.cli.app
import ablate.mtl.model.fast
import ablate.mtl.trainer
import ablate.tracking.client
import ablate.tracking.pictures
import ablate.worker.bench


def main() -> None:
    torch.set_num_threads(1)
    number = int(sys.argv[1])
    children = []
    for _ in range(number):
        child = os.fork()
        if child == 0:
            sys.argv = ["ablate", *sys.argv[2:]]
            ablate.cli.app.main()
            raise AssertionError("the command line exits")
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    main()
