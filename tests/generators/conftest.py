"""A real server, its description as it serves it, and the tools that `make test-generators` installs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, Server, serving

TOOLS = ROOT / ".venv-generators"
SOURCES = Path(__file__).parent
TOKEN = "open-sesame"
QUERY = {"batch_size": 3, "recipe": "CenterCrop(16) | ToTensor()"}
Run = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that only `make test-generators` runs them."""
    for item in items:
        if SOURCES in item.path.parents:
            item.add_marker("generators")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("logs"), ROOT / "data" / "shapes") as start:
        yield start(workers=0, BATCHLENS_TOKEN=TOKEN)


@pytest.fixture
def description(server: Server, tmp_path: Path) -> Path:
    """The description in a file of the test's folder."""
    path = tmp_path / "openapi.json"
    path.write_bytes(server.get("/openapi.json").content)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a tool in the test's folder and returns all that it prints; fails unless it succeeds."""

    def run_tool(*command: str | Path, **variables: str) -> str:
        folders = f"{TOOLS / 'bin'}:{TOOLS / 'node_modules' / '.bin'}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": folders, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"} | variables
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command[0]} failed; `make test-generators` installs it.\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run_tool


@pytest.fixture
def check_seen(server: Server) -> Callable[[dict[str, Any]], None]:
    """Holds what a generated client has seen against what httpx gets."""

    def ask(path: str) -> httpx.Response:
        answer = server.get(path, params=QUERY if "batches" in path else {})
        assert answer.status_code == 200
        return answer

    def check(seen: dict[str, Any]) -> None:
        batch = "/datasets/shapes/splits/train/batches/0/0"
        assert seen["dataset"] == "shapes"
        assert seen["classes"] == ask("/datasets/shapes").json()["classes"]
        assert seen["indices"] == [each["index"] for each in ask(f"{batch}.json").json()["samples"]]
        assert set(seen["binary"]) == {"safetensors", "npz", "png", "webp", "jpg"}
        for suffix, content in seen["binary"].items():
            assert bytes(content) == ask(f"{batch}.{suffix}").content
        assert seen["devices"] == ["cpu", "cpu", "cpu"]
        assert seen["code"] == "unknown-dataset"

    return check
