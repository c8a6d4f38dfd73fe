"""Whatever the server does, whenever it ends: a verified tree or one clear error, never half a file."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.ground.errors import DataError
from ablate.mtl.data import download as downloading
from ablate.mtl.data import transfers
from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.download import Downloaded, download, tut
from ablate.mtl.data.fetching import Patience, is_whole
from tests.mtl.data import publisher as publishing
from tests.mtl.data.folders import SHARED, needs_annotations
from tests.mtl.data.publisher import FAULTS, STALL_S, Fault, Publisher, Request, annotated, status, well

QUICK = Patience(failures=5, stall_s=20.0, first_wait_s=0.005, longest_wait_s=0.02)
IMPATIENT = replace(QUICK, stall_s=STALL_S)  # with servers that say nothing
FIRST = next(iter(publishing.RECORDINGS))


@pytest.fixture(scope="module")
def one_publisher() -> Iterator[Publisher]:
    with publishing.publisher() as made:
        yield made


@pytest.fixture
def publisher(one_publisher: Publisher) -> Publisher:
    """Calm, with no request yet."""
    one_publisher.plan = lambda _request: well
    one_publisher.requests.clear()
    return one_publisher


def fetch(publisher: Publisher, folder: Path, **options: object) -> Downloaded:
    return download(publisher.corpus, folder, **{"patience": QUICK, **options})  # type: ignore[arg-type]


def problems_of(publisher: Publisher, folder: Path, **options: object) -> list[str]:
    with pytest.raises(DataError) as error:
        fetch(publisher, folder, **options)
    return error.value.problems


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a data set: what it is checked by, without the downloader's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix == ".wav" or path.parent == folder)
        if path.name != "download.json" and not path.name.startswith(".")
    }


def whole(publisher: Publisher) -> dict[str, bytes]:
    """What ``tree`` is to be."""
    return annotated() | {name: publisher.files[name] for name in publisher.files if name.endswith(".txt")}


def patience_with(fault: str) -> Patience:
    """Who waits for an answer on a busy machine must not take it for a silent server."""
    return IMPATIENT if fault in ("stall", "drip") else QUICK


def always(fault: Fault, name: str = FIRST) -> Callable[[Request], Fault]:
    return lambda request: fault if request.name == name else well


def times(n_times: int, fault: Fault) -> Callable[[Request], Fault]:
    """The first ``n_times`` requests for each file go wrong."""
    seen: Counter[str] = Counter()

    def plan(request: Request) -> Fault:
        seen[request.name] += 1
        return fault if seen[request.name] <= n_times else well

    return plan


# ------------------------------------------------------------------------------------------ a calm server


def test_the_tree_holds_what_is_annotated_and_nothing_else(publisher: Publisher, tmp_path: Path) -> None:
    done = fetch(publisher, tmp_path / "tut")
    assert done == Downloaded(recordings=6, archives=4, fetched=4)
    assert tree(tmp_path / "tut") == whole(publisher)
    assert not (tmp_path / "tut" / "archives").exists()
    assert Counter(request.name for request in publisher.requests) == dict.fromkeys(publisher.files, 1)


def test_a_finished_tree_is_known_again_without_the_network(publisher: Publisher, tmp_path: Path) -> None:
    fetch(publisher, tmp_path)
    publisher.requests.clear()
    assert fetch(publisher, tmp_path).fetched == 0
    shutil.copytree(tmp_path, tmp_path / "copy", copy_function=shutil.copyfile)  # with other times
    assert fetch(publisher, tmp_path / "copy").fetched == 0
    assert publisher.requests == []


@pytest.mark.parametrize("damage", ["removed", "cut short", "changed"])
def test_a_damaged_recording_is_noticed_and_its_archive_fetched_again(
    damage: str, publisher: Publisher, tmp_path: Path
) -> None:
    fetch(publisher, tmp_path)
    publisher.requests.clear()
    path, audio = next(iter(annotated().items()))
    (tmp_path / path).unlink()
    if damage != "removed":
        (tmp_path / path).write_bytes(audio[:-1] if damage == "cut short" else audio[:-1] + b"?")
    assert fetch(publisher, tmp_path).fetched == 1
    assert [request.name for request in publisher.requests] == [FIRST]
    assert tree(tmp_path) == whole(publisher)


def test_kept_archives_and_those_put_there_by_hand_are_not_fetched(
    publisher: Publisher, tmp_path: Path
) -> None:
    fetch(publisher, tmp_path / "one", keep=True)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "one" / "archives").iterdir()}
    assert kept == publisher.files
    shutil.copytree(tmp_path / "one" / "archives", tmp_path / "two" / "archives")
    (tmp_path / "two" / "archives" / FIRST).write_bytes(publisher.files[FIRST][:-1])
    publisher.requests.clear()
    fetch(publisher, tmp_path / "two")
    assert [request.name for request in publisher.requests] == [FIRST]
    assert tree(tmp_path / "two") == whole(publisher)


def test_a_mirror_is_a_folder_with_all_the_files(publisher: Publisher, tmp_path: Path) -> None:
    elsewhere = publishing.corpus_of(publisher.files, "https://zenodo.invalid/record/1/files")
    download(elsewhere.at(f"{publisher.address}/deep/"), tmp_path, patience=QUICK)
    assert tree(tmp_path) == whole(publisher)


def test_a_proxy_of_the_environment_is_used(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is asked for whole addresses."""
    monkeypatch.setenv("http_proxy", publisher.address)
    elsewhere = publishing.corpus_of(publisher.files, "http://zenodo.invalid/record/1/files")
    download(elsewhere, tmp_path, patience=QUICK)
    assert tree(tmp_path) == whole(publisher)
    assert all(request.path.startswith("http://zenodo.invalid/record/1/") for request in publisher.requests)


def test_a_redirection_is_followed_with_the_part_that_is_asked_for(
    publisher: Publisher, tmp_path: Path
) -> None:
    """As Zenodo's from /record/ to /records/."""
    once = times(2, FAULTS["cut"])

    def plan(request: Request) -> Fault:
        moved = request.path.replace("/record/", "/records/")
        return once(request) if moved == request.path else status(302, Location=moved)

    publisher.plan = plan
    download(publisher.corpus.at(f"{publisher.address}/record/1"), tmp_path, patience=QUICK)
    assert tree(tmp_path) == whole(publisher)
    starts = [request.start > 0 for request in publisher.requests if request.name == FIRST]
    assert starts == [False, False, True, True, True, True]


def test_a_pipe_gets_a_line_for_each_archive(publisher: Publisher, tmp_path: Path) -> None:
    lines: list[str] = []
    fetch(publisher, tmp_path, progress=True, say=lines.append)
    assert [line.partition(":")[0] for line in lines] == ["tut", "1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert lines[0].startswith("tut: 4 archives to download, 1")
    assert any(line.endswith(f"{FIRST} verified, 2 recordings unpacked") for line in lines)


# -------------------------------------------------------------------------------------------- bad servers


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_once_is_got_over(fault: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.plan = times(1, FAULTS[fault])
    fetch(publisher, tmp_path, patience=patience_with(fault))
    assert tree(tmp_path) == whole(publisher)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("hang up", "given up after 5 failures in a row"),
        ("stall", "given up after 5 failures in a row, the last: nothing came for 0.4 s"),
        ("drip", "given up after 5 failures in a row, the last: "),
        ("longer", "100 bytes, but"),
        ("sign in", "the server has 27 bytes, but"),
        ("another part", "the server sent another part ('bytes "),
        ("wrong bytes", "what came is not what was published (another MD5 than "),
        ("503", "given up after 5 failures in a row, the last: HTTP 503 Service Unavailable"),
        ("429", "given up after 5 failures in a row, the last: HTTP 429 Too Many Requests"),
    ],
)
def test_what_goes_wrong_always_is_told_and_the_rest_is_there(
    fault: str, message: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.plan = always(FAULTS[fault])
    problems = problems_of(publisher, tmp_path, patience=patience_with(fault))
    assert len(problems) == 2
    if fault != "hang up":
        assert problems[0].startswith(f"{publisher.address}/{FIRST}: ")
    assert message in problems[0] or "127.0.0.1" in problems[0]
    assert problems[1] == "3 of 4 archives are unpacked; the same command fetches only the others"
    assert not (tmp_path / "meta_development.txt").exists()
    publisher.plan = lambda _request: well
    publisher.requests.clear()
    fetch(publisher, tmp_path)
    assert {request.name for request in publisher.requests} == {FIRST}
    assert tree(tmp_path) == whole(publisher)


def test_a_cut_download_goes_on_where_it_was(publisher: Publisher, tmp_path: Path) -> None:
    publisher.plan = times(3, FAULTS["cut"])
    fetch(publisher, tmp_path)
    starts = [request.start for request in publisher.requests if request.name == FIRST]
    size = len(publisher.files[FIRST])
    assert len(starts) == 4
    assert starts[0] == 0
    assert [round(start / size, 2) for start in starts[1:]] == [0.33, 0.56, 0.70]  # 1 - (2/3)^k


def test_a_server_is_left_alone_for_as_long_as_it_asks(publisher: Publisher, tmp_path: Path) -> None:
    """By all downloads, not only by the one that was told so."""
    told = threading.Event()

    def plan(request: Request) -> Fault:
        if request.name == FIRST and not told.is_set():
            told.set()
            return status(429, Retry_After="1")
        return well

    publisher.plan = plan
    fetch(publisher, tmp_path, connections=1)
    first = next(request for request in publisher.requests if request.name == FIRST)
    later = [request.time_s - first.time_s for request in publisher.requests if request.time_s > first.time_s]
    assert min(later) >= 1.0


def test_a_server_that_asks_for_an_hour_is_told_to_the_user(publisher: Publisher, tmp_path: Path) -> None:
    publisher.plan = always(status(429, Retry_After="3600"))
    assert problems_of(publisher, tmp_path)[0] == (
        f"{publisher.address.removeprefix('http://')} asks to be left alone for 60 minutes. "
        "The same command goes on from here: type it then"
    )


def test_a_long_wait_is_explained(publisher: Publisher, tmp_path: Path) -> None:
    lines: list[str] = []
    publisher.plan = always(status(503))
    slow = replace(QUICK, failures=2, first_wait_s=8.0, longest_wait_s=8.0)

    def say(line: str) -> None:
        lines.append(line)
        if "503" in line:
            raise DataError("seen")  # rather than wait

    with pytest.raises(DataError, match="seen"):
        fetch(publisher, tmp_path, patience=slow, say=say)
    assert re.search(f"{FIRST}: HTTP 503 Service Unavailable; trying again in [678] s", "\n".join(lines))


def test_a_file_that_has_moved_is_named(publisher: Publisher, tmp_path: Path) -> None:
    publisher.plan = always(status(404))
    assert problems_of(publisher, tmp_path)[0] == (
        f"{publisher.address}/{FIRST}: HTTP 404 Not Found; has the file moved? --mirror names another place"
    )


def test_without_a_network_one_sentence_says_so(tmp_path: Path) -> None:
    with publishing.publisher() as gone:
        pass
    problems = problems_of(gone, tmp_path)
    assert len(problems) == 1
    assert "cannot be reached: connection refused. Is there a network here" in problems[0]


@pytest.mark.parametrize("seed", range(50))
def test_any_schedule_of_faults_ends_in_a_whole_tree_or_a_clear_error(
    seed: int, publisher: Publisher, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    share = chance.choice([0.2, 0.5, 0.8])
    lock = threading.Lock()

    def plan(_request: Request) -> Fault:
        with lock:
            return FAULTS[chance.choice(list(FAULTS))] if chance.random() < share else well

    publisher.plan = plan
    problems: list[str] = []
    try:
        connections, keep = chance.choice([1, 4]), chance.random() < 0.5
        fetch(publisher, tmp_path, connections=connections, keep=keep, patience=IMPATIENT)
    except DataError as error:
        problems = error.problems
    assert all(re.search("[Tt]he same command|--mirror", problem) for problem in problems)
    assert (tree(tmp_path) == whole(publisher)) is not bool(problems)
    assert (tmp_path / "meta_evaluation.txt").exists() is not bool(problems)
    assert tree(tmp_path).items() <= whole(publisher).items()  # whatever is there is whole
    publisher.plan = lambda _request: well
    fetch(publisher, tmp_path)
    assert tree(tmp_path) == whole(publisher)


# ------------------------------------------------------------------------------------------ interruptions


def start(publisher: Publisher, folder: Path, *options: str) -> "subprocess.Popen[str]":
    words = ["data", "download", "tut", str(folder), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.mtl.data.publisher", publisher.address, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "no_proxy": "*"},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "nothing happened for a minute"
        time.sleep(0.01)


def test_a_killed_download_goes_on_where_it_was(publisher: Publisher, tmp_path: Path) -> None:
    publisher.plan = lambda _request: publishing.slow
    for n_more in (3, 3, 1):
        seen = len(publisher.requests)
        process = start(publisher, tmp_path)
        wait_for(lambda seen=seen, n_more=n_more: len(publisher.requests) >= seen + n_more)  # type: ignore[misc]
        time.sleep(0.1)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        assert tree(tmp_path).items() <= whole(publisher).items()
    process = start(publisher, tmp_path)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert tree(tmp_path) == whole(publisher)
    assert any(request.start > 0 for request in publisher.requests)
    assert f"{tmp_path}: 6 recordings of 4 archives, all verified\n" in output
    assert f"ablate data check {tmp_path}\n" in output
    assert "4 of 4: " in errors


def test_ctrl_c_ends_at_once_though_the_server_is_silent(publisher: Publisher, tmp_path: Path) -> None:
    silent = threading.Event()
    publisher.plan = lambda request: (
        (lambda _answer: (silent.wait(30), None)[1]) if request.name == FIRST else well
    )
    process = start(publisher, tmp_path)
    wait_for(lambda: any(request.name == FIRST for request in publisher.requests))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    silent.set()
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert tree(tmp_path).items() <= whole(publisher).items()


def test_a_second_download_into_the_folder_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    with downloading._only_one(tmp_path):
        assert problems_of(publisher, tmp_path) == [
            f"{tmp_path}: another process is downloading into it; wait for that one"
        ]


def test_what_a_killed_download_was_writing_is_removed(publisher: Publisher, tmp_path: Path) -> None:
    folder = tmp_path / Path(publishing.path_of(FIRST, "a099_0_30")).parent
    folder.mkdir(parents=True)
    for half in (tmp_path / f".download.json.{'0' * 32}", folder / f".a099_0_30.wav.{'1' * 32}"):
        half.write_bytes(b"half")
    fetch(publisher, tmp_path)
    hidden = {path.name for path in tmp_path.rglob(".*")}
    assert hidden == {".lock"}


# -------------------------------------------------------------------------------------- disks and folders


def test_a_disk_too_small_is_told_before_anything_is_fetched(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two archives at a time and all recordings, or with ``keep`` all archives."""
    sizes = sorted((len(publisher.files[name]) for name in publishing.RECORDINGS), reverse=True)
    unpacked = sum(map(len, annotated().values()))
    needed = unpacked + sum(sizes[:2])

    def free(n_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(0, 0, n_bytes))

    free(needed - 1)
    (problem,) = problems_of(publisher, tmp_path, connections=2)
    assert "kB are free; make room, take fewer --connections, or name a folder on another disk" in problem
    assert {request.name for request in publisher.requests} == {"meta_development.txt", "meta_evaluation.txt"}
    free(unpacked + sum(sizes) - 1)
    assert "leave out --keep" in problems_of(publisher, tmp_path, keep=True)[0]
    free(needed)
    fetch(publisher, tmp_path, connections=2)
    assert tree(tmp_path) == whole(publisher)


def test_a_disk_that_fills_up_ends_with_a_sentence(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "unpack", full)
        problems = problems_of(publisher, tmp_path, connections=1)
    assert problems[0] == f"{tmp_path}: cannot be written: No space left on device"
    fetch(publisher, tmp_path)
    assert tree(tmp_path) == whole(publisher)


def test_another_data_set_is_not_touched(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "meta_development.txt").write_text("a.wav\thome\n")
    (problem,) = problems_of(publisher, tmp_path)
    assert "meta_development.txt: is another file than that of tut; name another folder" in problem
    (tmp_path / "file").touch()
    assert problems_of(publisher, tmp_path / "file") == [
        f"{tmp_path / 'file'}: is a file; name a folder for the corpus"
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"format": "ablate download", "archives": {"a": {"b": 1}}}'])
def test_a_damaged_record_is_named(content: str, publisher: Publisher, tmp_path: Path) -> None:
    fetch(publisher, tmp_path)
    (tmp_path / "download.json").write_text(content)
    (problem,) = problems_of(publisher, tmp_path)
    assert problem.startswith(f"{tmp_path / 'download.json'}: cannot be read (")
    assert problem.endswith("; remove it, and everything is downloaded again")


# ------------------------------------------------------------------------------------------ evil archives


def republished(files: dict[str, bytes], archive: bytes) -> dict[str, bytes]:
    return {**files, FIRST: archive}


def test_members_with_evil_names_are_not_written(tmp_path: Path) -> None:
    files = publishing.published()
    evil = [
        "../evil.wav",
        "/tmp/ablate-evil.wav",
        "a/../../evil.wav",
        "C:\\evil.wav",
        f"{FIRST[:-12]}/../e.wav",
    ]
    archive = publishing.zipped({**publishing.recordings()[FIRST], **dict.fromkeys(evil, b"evil")})
    with publishing.publisher(republished(files, archive)) as made:
        fetch(made, tmp_path / "deep" / "tut")
        assert tree(tmp_path / "deep" / "tut") == whole(made)
    names = [path.name for path in tmp_path.rglob("*")]
    assert not any("evil" in name or name == "e.wav" for name in names)
    assert not Path("/tmp/ablate-evil.wav").exists()


def with_member(path: str, *, mode: int = 0, content: bytes = b"", twice: bool = False) -> bytes:
    """An archive whose member of an annotated name is odd."""
    file = Path(path)
    with zipfile.ZipFile(file, "w") as archive:
        for _ in range(1 + twice):
            member = zipfile.ZipInfo(publishing.path_of(FIRST, "a099_0_30"))
            member.external_attr = mode << 16
            archive.writestr(member, content)
    return file.read_bytes()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_members_are_refused(tmp_path: Path) -> None:
    path, name = publishing.path_of(FIRST, "a099_0_30"), str(tmp_path / "odd.zip")
    link = with_member(name, mode=0o120777, content=b"/etc/passwd")
    twice = with_member(name, twice=True)
    large = bytearray(with_member(name, content=b"small"))
    place = large.rindex(b"PK\x01\x02")
    large[place + 24 : place + 28] = (2_000_000_000).to_bytes(4, "little")
    larger = bytearray(large)
    larger[place + 24 : place + 28] = (6).to_bytes(4, "little")
    for archive, problem in (
        (link, f"{FIRST}: {path} is a link, not a recording"),
        (twice, f"{FIRST}: holds {path} 2 times"),
        (bytes(large), f"{FIRST}: {path} would be 2 GB; a recording has at most 500 MB"),
        (bytes(larger), f"{FIRST}: cannot be unpacked: "),
        (b"no archive", f"{FIRST}: cannot be unpacked: File is not a zip file"),
    ):
        with publishing.publisher(republished(publishing.published(), archive)) as made:
            assert problems_of(made, tmp_path / "tut")[0].startswith(problem)
        assert not (tmp_path / "tut" / path).exists()


def test_a_recording_that_no_archive_has_is_named(tmp_path: Path) -> None:
    path = publishing.path_of(FIRST, "a099_0_30")
    audios = {name: audio for name, audio in publishing.recordings()[FIRST].items() if name != path}
    with publishing.publisher(republished(publishing.published(), publishing.zipped(audios))) as made:
        assert problems_of(made, tmp_path)[0].startswith(
            f"no archive has 1 annotated recording, such as {path}"
        )


def test_a_folder_that_is_a_link_to_elsewhere_is_not_followed(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "tut").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tut" / "TUT-acoustic-scenes-2016-development").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in problems_of(publisher, tmp_path / "tut")[0]
    assert not [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()]


# ------------------------------------------------------------------------------------------ the real table


def test_the_table_has_the_published_archives() -> None:
    corpus = tut()
    assert len(corpus.archives) == len({source.name for source in corpus.archives}) == 20
    assert sum(source.n_bytes for source in corpus.archives) == 17_447_780_310
    assert all(len(source.md5) == 32 and source.url.startswith("https://") for source in corpus.archives)
    assert [source.name for source in corpus.annotations] == ["meta_development.txt", "meta_evaluation.txt"]


@needs_annotations
def test_the_annotations_of_the_table_are_the_studys(tmp_path: Path) -> None:
    for source in tut().annotations:
        shutil.copy(SHARED / "tut_meta" / "meta" / source.name, tmp_path)
        assert is_whole(source, tmp_path / source.name)
    sets = {source.name.partition(".")[0] for source in tut().archives}
    assert {recording.path.split("/")[0] for recording in read_annotations(tmp_path).recordings} == sets
