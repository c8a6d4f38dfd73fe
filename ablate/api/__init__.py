"""What commands do, without the command line: ``ablate.Study``, ``ablate.compare`` and their like."""
