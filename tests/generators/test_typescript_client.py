"""openapi-typescript makes types with which openapi-fetch works, and which refuse what the service would refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Server
from tests.generators.conftest import SOURCES, TOKEN, TOOLS, Run


def test_the_generated_client_works(description: Path, server: Server, run: Run, tmp_path: Path, check_seen: Callable[[dict[str, Any]], None]) -> None:
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name in ("client.ts", "tsconfig.json"):
        shutil.copy(SOURCES / name, tmp_path)
    run("openapi-typescript", description, "--output", "api.d.ts")
    run("tsc")
    check_seen(json.loads(run("node", "built/client.js", server.url, TOKEN)))
