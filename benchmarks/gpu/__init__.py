"""Everything that can be shown on a GPU alone, in one command and a given time: ``python -m benchmarks.gpu``.

The stages stand in ``stages.STAGES``, in the order of their worth. Each is a process of its own, so that a
GPU that is lost, or a stage that hangs, costs that stage and no other; each writes what it has measured as
soon as it has it, so that a cut-off keeps it.
"""
