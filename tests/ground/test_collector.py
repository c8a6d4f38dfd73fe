"""What the collector leaves alone, and that it goes on afterwards."""

import subprocess
import sys

import pytest

COUNT = """
import gc
from ablate.ground.collector import importing, leave_the_end_to_the_system

class Noted:
    def __del__(self):
        print("collected")

def garbage():
    noted = Noted()
    noted.itself = noted
"""


def printed(code: str) -> list[str]:
    """In a process of its own, as what is frozen stays so."""
    done = subprocess.run([sys.executable, "-c", COUNT + code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("ending", ["pass", "raise ImportError"])
def test_what_is_imported_is_never_looked_through_and_the_rest_is(ending: str) -> None:
    code = f"""
try:
    with importing():
        garbage()
        print(gc.isenabled())
        {ending}
except ImportError:
    pass
print(gc.isenabled(), gc.collect())
garbage()
gc.collect()
"""
    assert printed(code) == ["False", "True 0", "collected"]


def test_at_the_end_of_a_process_nothing_is_collected() -> None:
    assert printed("garbage()") == ["collected"]
    assert printed("leave_the_end_to_the_system(); garbage()") == []
