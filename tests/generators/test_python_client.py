"""openapi-python-client makes a client that works, without a warning."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Server
from tests.generators.conftest import SOURCES, TOKEN, TOOLS, Run


def test_the_generated_client_works(description: Path, server: Server, run: Run, tmp_path: Path, check_seen: Callable[[dict[str, Any]], None]) -> None:
    printed = run("openapi-python-client", "generate", "--path", description, "--output-path", "generated", "--fail-on-warning")
    assert "warning" not in printed.lower()
    seen = json.loads(run(TOOLS / "bin" / "python", "-W", "error", SOURCES / "client.py", server.url, TOKEN, PYTHONPATH=str(tmp_path / "generated")))
    check_seen(seen)
    assert seen["accepted"] == seen["binary"]["safetensors"]
