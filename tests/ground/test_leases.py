"""Leases: one holder on all hosts, and a dead one loses it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec
from pathlib import Path

import pytest

from ablate.ground import leases
from ablate.ground.leases import LEASE_S, Holder, LeaseLost, holder, kernel, lease

ELSEWHERE = Holder("other", "another kernel", 7)


def claim_elsewhere(path: Path, number: int, age_s: float) -> Path:
    """A claim as a process of another host leaves it on a file system whose locks do not reach here."""
    claim = path.with_name(f"{path.name}.{number}")
    claim.write_text(json.dumps(vars(ELSEWHERE)))
    os.utime(claim, (time.time() - age_s, time.time() - age_s))
    return claim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lease_names_its_holder_while_it_is_held(path: Path) -> None:
    assert holder(path) is None
    with lease(path, 0.0):
        found = holder(path)
        assert found is not None
        assert (found.pid, found.kernel) == (os.getpid(), kernel())
    assert holder(path) is None


def test_nobody_else_gets_it_meanwhile(path: Path) -> None:
    with lease(path, 0.0), pytest.raises(TimeoutError, match="lock"), lease(path, 0.05):
        pass


def test_a_waiting_process_gets_it_when_it_is_given_back(path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with lease(path, 0.0):
            waiting = pool.submit(lambda: lease(path, 30.0).__enter__())
            time.sleep(0.1)
            assert not waiting.done()
        waiting.result(timeout=30)


def test_a_killed_holder_loses_it_at_once(path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from ablate.ground.leases import lease
with lease(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    found = holder(path)
    assert found is not None
    assert found.pid == process.pid
    process.kill()
    process.communicate()
    assert holder(path) is None
    with lease(path, 0.0):
        pass


def test_a_living_holder_on_another_host_keeps_it(path: Path) -> None:
    claim_elsewhere(path, 4, age_s=LEASE_S / 2)
    assert holder(path) == ELSEWHERE
    with pytest.raises(TimeoutError), lease(path, 0.05):
        pass
    assert holder(path) == ELSEWHERE


def test_a_silent_holder_on_another_host_loses_it(path: Path) -> None:
    claim = claim_elsewhere(path, 4, age_s=LEASE_S + 5)
    assert holder(path) is None
    with lease(path, 0.0):
        assert not claim.exists()
        assert path.with_name("lock.5").exists()


def test_what_another_host_has_given_back_is_free_at_once(path: Path) -> None:
    os.utime(claim_elsewhere(path, 4, age_s=0), (leases.GIVEN_BACK, leases.GIVEN_BACK))
    assert holder(path) is None
    with lease(path, 0.0):
        pass


def test_a_damaged_claim_is_free_after_a_while_only(path: Path) -> None:
    """Its owner may be alive on another host."""
    claim = claim_elsewhere(path, 1, age_s=0)
    claim.write_text("{")
    with pytest.raises(TimeoutError), lease(path, 0.05):
        pass
    os.utime(claim, (1.0, 1.0))
    with lease(path, 0.0):
        pass


def test_a_holder_that_was_frozen_learns_that_another_took_over(path: Path) -> None:
    with lease(path, 0.0) as held:
        held.require()
        claim_elsewhere(path, 2, age_s=0)
        with pytest.raises(LeaseLost, match="another has taken over"):
            held.require()
    assert holder(path) == ELSEWHERE  # giving back one's own leaves the other's alone


@pytest.mark.parametrize("found_by_the_others", [False, True])
def test_one_that_was_slow_to_claim_gives_way_to_those_that_were_faster(
    path: Path, monkeypatch: pytest.MonkeyPatch, found_by_the_others: bool
) -> None:
    """What it found to be free was taken twice meanwhile, and its number is one that was given before."""
    link, numbers = leases._link, leases._numbers

    def slow_link(draft: Path, target: Path) -> bool:
        claim_elsewhere(path, 2, age_s=0)
        return link(draft, target)

    def numbers_at_last(path: Path) -> list[int]:
        found = numbers(path)
        if found_by_the_others and 2 in found:
            path.with_name("lock.1").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(leases, "_link", slow_link)
    monkeypatch.setattr(leases, "_numbers", numbers_at_last)
    with pytest.raises(TimeoutError), lease(path, 0.0):
        pass
    assert numbers(path) == [2]
    assert holder(path) == ELSEWHERE


def test_a_claim_stays_young_while_it_is_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.4)
    monkeypatch.setattr(leases, "_BEATS", leases._Beats())
    with lease(path, 0.0):
        time.sleep(0.8)
        assert time.time() - path.with_name("lock.1").stat().st_mtime < 0.4


@pytest.mark.parametrize("shared_locks", [True, False], ids=["one host", "hosts without common locks"])
def test_of_many_that_want_it_one_has_it_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, shared_locks: bool
) -> None:
    """Threads stand for hosts: their locks exclude each other, unless taking a lock always succeeds."""
    inside: Counter[str] = Counter()
    most = 0
    guard = threading.Lock()
    if not shared_locks:
        monkeypatch.setattr(leases, "_lock", lambda _descriptor: 1)
        monkeypatch.setattr(leases, "kernel", lambda: threading.current_thread().name)

    def work(_number: int) -> None:
        nonlocal most
        with lease(path, 60.0):
            with guard:
                inside["now"] += 1
                inside["ever"] += 1
                most = max(most, inside["now"])
            time.sleep(0.001)
            with guard:
                inside["now"] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    assert (most, inside["ever"]) == (1, 80)


def test_what_a_kill_has_left_of_a_claim_goes_with_the_next(path: Path) -> None:
    other = f"{0:016x}"  # how the drafts of another system begin
    left = {
        "ours": (leases._mark(), json.dumps(vars(Holder("here", kernel(), 7))), 0.0),
        "ours, nothing written": (leases._mark(), "", 0.0),
        "half written, long ago": (other, "{", LEASE_S + 1),
        "half written, just now": (other, "{", 0.0),
        "another host's, at work": (other, json.dumps(vars(ELSEWHERE)), 0.0),
    }
    drafts = {
        name: path.with_name(f".lock.{mark}{number:016x}")
        for number, (name, (mark, *_)) in enumerate(left.items())
    }
    for name, (_, text, age_s) in left.items():
        drafts[name].write_text(text)
        os.utime(drafts[name], (time.time() - age_s, time.time() - age_s))
    with lease(path, 0.0):
        pass
    there = [name for name, draft in drafts.items() if draft.exists()]
    assert there == ["half written, just now", "another host's, at work"]


def test_a_claim_that_a_power_loss_has_left_as_nonsense_is_followed(path: Path) -> None:
    claim = claim_elsewhere(path, 1, age_s=2 * LEASE_S)
    content = claim.stat()
    claim.write_bytes(b"\0\xff")
    os.utime(claim, (content.st_atime, content.st_mtime))
    with lease(path, 0.0):
        assert not claim.exists()


@pytest.mark.parametrize(("said", "seconds"), [(None, 120.0), ("7", 7.0)])
def test_how_long_a_silent_owner_is_waited_for_can_be_said(
    monkeypatch: pytest.MonkeyPatch, said: str | None, seconds: float
) -> None:
    if said is None:
        monkeypatch.delenv("ABLATE_LEASE_S", raising=False)
    else:
        monkeypatch.setenv("ABLATE_LEASE_S", said)
    spec = leases.__spec__
    assert spec is not None
    assert spec.loader is not None
    fresh = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert seconds == fresh.LEASE_S
