"""What the page offers as code does what the page shows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.e2e.conftest import ROOT, Server
from tests.web.conftest import OpenPage, Visit

PLACE = "dataset=shapes&split=train&batch_size=5&epoch=1&step=2&seed=7"
RECIPE = 'RandomResizedCrop(40, scale=[0.5, 1.0]) | Pad(2, padding_mode="reflect") | ToTensor()'


def read_code(visit: Visit, tab: str) -> str:
    visit.page.get_by_role("tab", name=tab).click()
    return visit.page.get_by_role("tabpanel").inner_text()


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def visit(open_page: OpenPage) -> Visit:
    opened = open_page()
    opened.page.evaluate("([place, recipe]) => history.replaceState(null, '', `/?${place}&recipe=${encodeURIComponent(recipe)}`)", [PLACE, RECIPE])
    opened.page.reload()
    opened.expect_caption("Epoch 1, step 2")
    return opened


def test_curl_python_and_the_loader_give_the_batch(visit: Visit, server: Server, tmp_path: Path) -> None:
    done = subprocess.run(["bash", "-e", "-c", read_code(visit, "curl")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    batch = safetensors.torch.load_file(tmp_path / "batch.safetensors")
    rows = json.loads((tmp_path / "batch.json").read_text())["samples"]
    assert visit.page.locator(".tiles small").all_inner_texts() == [f"#{row['index']}" for row in rows]
    assert (tmp_path / "batch.png").read_bytes().startswith(b"\x89PNG")

    python = read_code(visit, "Python")
    assert "float32 [5, 3, 44, 44]" in python
    run_python(f"{python}\nimport torch; torch.save([images, labels], 'python.pt')", tmp_path)
    images, labels = torch.load(tmp_path / "python.pt", weights_only=True)
    assert torch.equal(images, batch["images"])
    assert torch.equal(labels, batch["labels"])

    loader = read_code(visit, "RemoteLoader").replace("    ...", "    batches = [*globals().get('batches', []), (inputs, labels)]")
    printed = run_python(f"{loader}\nimport torch; torch.save(batches[2], 'loader.pt'); print([row.index for row in done.rows])", tmp_path)
    inputs, targets = torch.load(tmp_path / "loader.pt", weights_only=True)
    assert torch.equal(inputs, batch["images"])
    assert torch.equal(targets, batch["labels"])
    assert json.loads(printed) == [row["index"] for row in rows]


def test_downloads_are_the_batch_in_every_format(visit: Visit, server: Server) -> None:
    links = {each.inner_text(): each.get_attribute("href") or "" for each in visit.page.locator(".downloads a").all()}
    assert list(links) == ["png", "safetensors", "npz", "json"]
    assert {name: server.get(path).status_code for name, path in links.items()} == dict.fromkeys(links, 200)
    with visit.page.expect_download() as download:
        visit.page.locator(".downloads a").first.click()
    assert download.value.path().read_bytes() == server.get(links["png"]).content


def test_other_views_have_code_of_their_own(open_page: OpenPage, tmp_path: Path) -> None:
    for view, expected in {"sample": "views", "dataset": "circle", "devices": "loaders"}.items():
        visit = open_page(f"/?view={view}&{PLACE}&index=3")
        assert expected in run_python(read_code(visit, "Python") + f"\nprint({expected!r})", tmp_path)
        done = subprocess.run(["bash", "-e", "-c", read_code(visit, "curl")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_tabs_are_walked_with_arrows(visit: Visit) -> None:
    visit.page.get_by_role("tab", name="curl").focus()
    visit.page.keyboard.press("ArrowRight")
    assert visit.page.get_by_role("tab", name="Python").get_attribute("aria-selected") == "true"
    assert visit.state("step") == "2", "the batch stays"
