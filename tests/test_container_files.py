"""The container files: lint, schema and the hardening that the README promises. Nothing here needs a Docker engine."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from service.settings import Settings

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
MIRRORS = {"TORCH_INDEX": None, "PIP_INDEX_URL": None}
"""Without a value, compose passes them on where they are set."""


def run_tool(name, *arguments):
    return subprocess.run([str(TOOLS / name), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module", params=["batchlens", "batchlens-gpu"])
def service(request, compose):
    return compose["services"][request.param]


@pytest.fixture(scope="module")
def stages():
    """The Dockerfile's instructions as (name, arguments), one list for each stage."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.split(maxsplit=1) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    found = []
    for name, arguments in lines:
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


def last(stage, name):
    return [arguments for each, arguments in stage if each == name][-1]


# The image


def test_hadolint_is_content():
    done = run_tool("hadolint", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_hadolint_would_complain(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo pip install torch\n")
    assert run_tool("hadolint", str(tmp_path / "Dockerfile")).returncode != 0


def test_stages_end_in_a_slim_image(stages):
    assert len(stages) > 1
    assert all(re.match(r"\S+-slim( AS \w+)?$|dependencies AS \w+$", stage[0][1]) for stage in stages)
    assert not re.search(r"\b(apt|apt-get|pip|gcc|make)\b", " ".join(arguments for name, arguments in stages[-1] if name == "RUN"))


def test_runs_as_user_1000(stages):
    assert last(stages[-1], "USER") == "1000:1000"


def test_health_check_needs_python_alone(stages):
    command = json.loads(last(stages[-1], "HEALTHCHECK").partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    assert "/health/live" in command[2]
    assert not re.search(r"curl|wget|nc\b", command[2])


@pytest.mark.parametrize(("status", "expected"), [("200 OK", 0), ("503 Service Unavailable", 1), (None, 1)])
def test_health_check_tells_life_from_death(stages, status, expected):
    command = json.loads(last(stages[-1], "HEALTHCHECK").partition("CMD ")[2])
    server = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "peer = listener.accept()[0]\n"
        "assert peer.recv(4096).startswith(b'GET /health/live ')\n"
        "peer.sendall(f'HTTP/1.1 {sys.argv[1]}\\r\\nContent-Length: 0\\r\\n\\r\\n'.encode())\n"
    )
    if status is None:
        done = subprocess.run([sys.executable, *command[1:]], env={"BATCHLENS_PORT": "1"}, capture_output=True, check=False)
        assert done.returncode == expected
        return
    with subprocess.Popen([sys.executable, "-c", server, status], stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        done = subprocess.run([sys.executable, *command[1:]], env={"BATCHLENS_PORT": port}, capture_output=True, check=False)
        assert process.wait(10) == 0
    assert done.returncode == expected


def test_starts_the_command_that_the_package_installs(stages):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(last(stages[-1], "ENTRYPOINT"))[0] in scripts
    assert json.loads(last(stages[-1], "CMD")) == ["serve", "/data"]
    assert last(stages[-1], "STOPSIGNAL") == "SIGTERM"
    assert last(stages[-1], "EXPOSE") == "8000"


def test_wheels_are_for_the_cpu_unless_asked(stages):
    arguments = [arguments for stage in stages for name, arguments in stage if name == "ARG"]
    assert "TORCH_VARIANT=cpu" in arguments


def test_build_context_is_an_allow_list(stages):
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {source.removeprefix("./") for stage in stages for name, text in stage if name == "COPY" and "--from" not in text for source in text.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / each).exists() for each in allowed)


def runs(stage):
    return " ".join(arguments for name, arguments in stage if name == "RUN")


def test_an_index_can_be_a_mirror(stages):
    declared = {arguments.partition("=")[0] for name, arguments in stages[0] if name == "ARG"}
    assert {"TORCH_INDEX", "PIP_INDEX_URL"} <= declared
    assert "https:" not in runs(stages[0]), "an index that no argument changes"


def test_a_new_build_after_an_edit_of_the_source_needs_no_network(stages):
    (package,) = [stage for stage in stages if stage[0][1].startswith("dependencies AS")]
    commands = [each for each in runs(package).split("&&") if "pip" in each]
    assert commands
    assert all("--no-index" in each and "--no-deps" in each for each in commands)
    assert "--no-build-isolation" in runs(package)


def test_the_standard_library_is_compiled_once_and_for_all(stages):
    assert "compileall" in runs(stages[-1])
    assert "PYTHONDONTWRITEBYTECODE=1" in last(stages[-1], "ENV")


def test_health_is_known_soon_after_the_start(stages):
    assert "--start-interval=1s" in last(stages[-1], "HEALTHCHECK")


def test_labels_tell_the_commit_and_change_no_other_layer(stages):
    assert [name for name, _ in stages[-1][-2:]] == ["ARG", "LABEL"]
    assert 'org.opencontainers.image.revision="${REVISION}"' in last(stages[-1], "LABEL")


# The versions


def locked(name):
    """Versions by package, and the lines that have no hash."""
    text = (ROOT / "deploy" / name).read_text()
    entries = [line for line in re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines() if line.strip()]
    found = {}
    for entry in entries:
        requirement = Requirement(entry.partition(" --hash")[0].strip())
        found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found, [entry for entry in entries if "--hash=sha256:" not in entry]


def requirements(project):
    return [Requirement(each) for each in [*project["dependencies"], *project["optional-dependencies"]["gpu"]]]


@pytest.mark.parametrize("name", ["requirements-cuda.txt", "requirements-cpu.txt", "requirements-build.txt"])
def test_every_package_is_locked_with_its_hashes(name, stages):
    versions, without = locked(name)
    assert versions
    assert without == []
    uses = [each for stage in stages for each in runs(stage).split("&&") if f"/deploy/{name}" in each or f"wanted={name}" in each]
    assert uses
    assert all("--require-hashes" in each for each in uses)


def test_what_is_locked_is_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    cuda, cpu, build = (locked(f"requirements-{name}.txt")[0] for name in ("cuda", "cpu", "build"))
    torch = locked("torch.txt")[0]
    for requirement in requirements(project["project"]):
        name = canonicalize_name(requirement.name)
        assert cuda[name] in requirement.specifier, f"`make lock`: {requirement} is not {cuda[name]}"
        assert {**cpu, **torch}[name] == cuda[name], f"`make lock`: {name} differs by variant"
    for requirement in map(Requirement, project["build-system"]["requires"]):
        assert build[requirement.name] in requirement.specifier


# The check that needs an engine


def test_without_an_engine_the_images_check_says_so_and_does_not_pass(tmp_path):
    (tmp_path / "engine").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "engine").chmod(0o755)
    done = subprocess.run(
        ["sh", "tests/image_check.sh"], cwd=ROOT, env={**os.environ, "ENGINE": str(tmp_path / "engine")}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "NOT RUN: no container engine answers here" in done.stderr


# The compose file


def test_a_service_that_cannot_start_is_not_started_for_ever(service):
    assert re.fullmatch(r"on-failure:\d+", service["restart"])


def test_logs_are_bounded(service):
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


def test_compose_file_fits_its_schema():
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_schema_would_complain(tmp_path):
    (tmp_path / "docker-compose.yml").write_text("services:\n  batchlens:\n    image: batchlens\n    read_onyl: true\n")
    assert run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(tmp_path / "docker-compose.yml")).returncode != 0


def test_container_is_locked_down(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\$\{BATCHLENS_PIDS:-\d+\}", service["pids_limit"])
    assert service["mem_limit"]
    assert [each.partition(":")[0] for each in service["tmpfs"]] == ["/tmp"]
    assert not {"privileged", "network_mode", "pid", "user"} & service.keys()


def test_data_is_mounted_read_only(service):
    assert [(each["type"], each["target"], each["read_only"]) for each in service["volumes"]] == [("bind", "/data", True)]


def test_only_this_machine_can_connect_by_default(service):
    assert all(re.fullmatch(r"\$\{BATCHLENS_BIND:-127\.0\.0\.1\}:\d+:8000", each) for each in service["ports"])


def test_every_setting_reaches_the_container(service):
    """All but those that the image itself decides."""
    named = {name.removeprefix("BATCHLENS_").lower() for name in service["environment"]}
    assert named == Settings.model_fields.keys() - {"paths", "host", "port"} | {"config"}


def test_health_check_host_is_allowed(service):
    default = re.fullmatch(r"\$\{BATCHLENS_ALLOWED_HOSTS:-(.+)\}", service["environment"]["BATCHLENS_ALLOWED_HOSTS"]).group(1)
    assert "127.0.0.1" in default.split(",")


def test_token_comes_from_outside(service):
    assert service["environment"]["BATCHLENS_TOKEN"] is None


def test_a_machine_without_a_gpu_starts_only_the_cpu_service(compose):
    always = [name for name, service in compose["services"].items() if not service.get("profiles")]
    assert always == ["batchlens"]
    assert "deploy" not in compose["services"]["batchlens"]
    assert compose["services"]["batchlens"]["build"]["args"] == {"TORCH_VARIANT": "cpu", **MIRRORS}


def test_gpu_service_reserves_gpus(compose):
    service = compose["services"]["batchlens-gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"]) == ("nvidia", "all")
    assert {"gpu", "compute", "utility"} <= set(device["capabilities"])
    assert service["build"]["args"] == {"TORCH_VARIANT": "cuda", **MIRRORS}
    assert service["ports"] != compose["services"]["batchlens"]["ports"]
