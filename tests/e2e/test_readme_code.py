"""The README's tour and its Python, run as written against a server of the demo data."""

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import ROOT, StartServer

README = (ROOT / "README.md").read_text()


@pytest.fixture
def tour() -> str:
    """The indented block that begins with B=."""
    found = re.search(r"\n\n((?:    .*\n|\n)*?    B=localhost:8000\n(?:    .*\n|\n)*)", README)
    assert found is not None
    return re.sub(r"^    ", "", found[1], flags=re.MULTILINE)


def test_the_tour_and_the_python_blocks_run(start_server: StartServer, tour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_server(ROOT / "data", workers=1)
    commands = tour.replace("B=localhost:8000", f"B={server.url}").replace("curl -s", "curl --fail-with-body -s")
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", commands], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"star.jpg", "views.png", "batch.png", "batch.safetensors", "random.png"}
    with Image.open(tmp_path / "batch.png") as picture:
        assert picture.width == 2 + 6 * 226
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("http://localhost:8000", server.url), {})
