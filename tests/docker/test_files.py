"""The files in ``docker/`` are well made, as far as can be told without Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.docker.composed import DOCKER, composed, fill_in, image, services

REPOSITORY = DOCKER.parent
EXAMPLE = (DOCKER / "example.env").read_text(encoding="utf-8")
EVERY_SETTING = dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))


def tool(name: str) -> str:
    """A program that is installed beside Python. Skips the test where it is missing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"needs {name}, of the extra dev")
    return found


def passes(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    passes(tool("hadolint"), "docker/Dockerfile")


def test_shellcheck_finds_nothing_in_what_ci_runs() -> None:
    passes(tool("shellcheck"), ".ci/run")


@pytest.mark.parametrize("settings", [{}, EVERY_SETTING], ids=["no .env", "every setting"])
def test_the_compose_file_is_of_the_official_schema(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(composed(settings)))
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file))


def test_every_setting_of_the_example_is_read_and_every_one_that_is_read_is_in_it() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    used -= {"NAME"}  # of a comment
    assert used - set(EVERY_SETTING) == {"MLFLOW_AUTH_ADMIN_USERNAME"}
    assert set(EVERY_SETTING) - used == set()


def test_there_is_no_secret_in_the_files() -> None:
    empty = ("POSTGRES_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
    assert [EVERY_SETTING[name] for name in empty] == ["", "", ""]
    for service in services({}).values():
        for name, value in service.get("environment", {}).items():
            assert not (re.search("PASSWORD|SECRET|KEY", name) and value), name


def test_training_asks_for_no_secret() -> None:
    """Compose fills in the variables of all profiles: one that must be set would be asked for by all."""
    lines = (DOCKER / "compose.yaml").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if ":?" in line and not line.startswith("#")]


def test_the_profiles() -> None:
    found = {name: service["profiles"] for name, service in services({}).items()}
    assert found == {
        "grid": ["grid"],
        "gpu": ["gpu"],
        "ui": ["ui"],
        "check": ["server"],
        "database": ["server"],
        "server": ["server"],
    }


def test_whatever_stays_up_has_a_health_check_and_is_started_again() -> None:
    stays = {name: service for name, service in services({}).items() if service["restart"] != "no"}
    assert set(stays) == {"ui", "database", "server"}
    assert all("healthcheck" in service for service in stays.values())
    assert image("server").health == services({})["server"]["healthcheck"]["test"][1:]


def test_nothing_listens_beyond_loopback_unless_asked() -> None:
    for settings, address in (({}, "127.0.0.1"), ({"SERVER_ADDRESS": "0.0.0.0"}, "0.0.0.0")):
        ports = {name: service.get("ports") for name, service in services(settings).items()}
        assert ports["server"] == [f"{address}:5000:5000"]
        assert ports["ui"] == ["127.0.0.1:5001:5001"]
        assert ports["database"] is None


def test_a_new_order_of_services_waits_for_health() -> None:
    found = services({})
    assert {name: wait["condition"] for name, wait in found["server"]["depends_on"].items()} == {
        "check": "service_completed_successfully",
        "database": "service_healthy",
    }
    assert found["grid"]["depends_on"] == {"server": {"condition": "service_healthy", "required": False}}


def test_gpus_are_asked_for_by_one_profile_only() -> None:
    found = services({})
    (device,) = found["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert found["gpu"]["build"]["args"] == {"TORCH": "cuda"}
    assert "deploy" not in found["grid"]
    assert found["grid"]["image"] != found["gpu"]["image"]


@pytest.mark.parametrize("target", ["train", "server"])
def test_images_run_as_a_user_of_a_fixed_number_in_group_0(target: str) -> None:
    assert image(target).user == "10001:0"


def test_images_and_their_bases_are_of_fixed_versions() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-bookworm$", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"postgres:\d+\.\d+-bookworm", services({})["database"]["image"])


def test_what_is_copied_travels_to_the_builder() -> None:
    """.dockerignore leaves out everything, then names what is needed."""
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert all((REPOSITORY / source).exists() for source in copied)


def installs(*words: str) -> list[str]:
    command = [sys.executable, str(DOCKER / "requirements.py"), *words]
    return subprocess.run(
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_what_the_images_install_is_what_pyproject_says() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert installs("train") == project["dependencies"]
    assert installs("train", "ray") == project["dependencies"] + project["optional-dependencies"]["ray"]
    server = installs("server")
    assert server[0].startswith("mlflow>=")
    assert server[1:] == project["optional-dependencies"]["server"]


@pytest.mark.parametrize(
    ("text", "filled"), [("${A}-${B:-two}", "one-two"), ("${A:-else}", "one"), ("${EMPTY:-else}", "else")]
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert fill_in(text, {"A": "one", "EMPTY": ""}) == filled


def test_health_checks_are_lists_of_words() -> None:
    for name, service in services({}).items():
        check = service.get("healthcheck")
        assert check is None or check["test"][0] == "CMD", json.dumps({name: check})
