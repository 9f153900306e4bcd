"""Where a dataset's photos are reduced on decoding, the page shows and hands out what a training run gets."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import Server, serving
from tests.web.conftest import OpenPage, read_pixels
from tests.web.test_code_panel import read_code

PLACE = "dataset=odd&split=train&batch_size=6&seed=4&recipe=RandomCrop(16)"


@pytest.fixture(scope="module")
def reduced(odd_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that reduces the images of `odd`, 200 x 120, to 100 x 60."""
    with serving(tmp_path_factory.mktemp("logs")) as start:
        yield start(odd_dataset, workers=1, BATCHLENS_DATASETS=json.dumps({"odd": {"max_resolution": 60}}))


def test_the_batch_is_that_of_a_request_that_leaves_it_to_the_service(open_page: OpenPage, reduced: Server) -> None:
    visit = open_page(f"/?{PLACE}", at=reduced)
    links = {each.inner_text(): each.get_attribute("href") or "" for each in visit.page.locator(".downloads a").all()}
    asked = f"/datasets/odd/splits/train/batches/0/0.{{}}?{PLACE.partition('train&')[2]}&on_error=mask"
    assert reduced.get(links["json"] + "&on_error=mask").json()["max_resolution"] == 60
    assert np.array_equal(read_pixels(reduced.get(links["png"] + "&on_error=mask").content), read_pixels(reduced.get(asked.format("png")).content))
    assert "max_resolution=60" in read_code(visit, "RemoteLoader")


def test_the_sample_and_its_frame_are_reduced_and_it_says_so(open_page: OpenPage, reduced: Server) -> None:
    visit = open_page(f"/?view=sample&index=2&{PLACE}", at=reduced)
    assert visit.pixels(".original-place canvas").shape == (60, 100, 3)
    told = reduced.get("/datasets/odd/splits/train/samples/2/views.json?seed=4&epochs=1&recipe=RandomCrop(16)").json()
    about = visit.page.get_by_label("About the sample").inner_text()
    for fact in ("200 \N{MULTIPLICATION SIGN} 120", "reduced to\n100 \N{MULTIPLICATION SIGN} 60", f"left\n{told['views'][0]['applied'][0]['params']['left']}"):
        assert fact in about


def test_so_is_the_sample_of_the_plain_page(open_page: OpenPage, reduced: Server) -> None:
    visit = open_page(f"/?view=sample&index=2&{PLACE}", at=reduced, is_settled=False, java_script_enabled=False)
    assert "max_resolution=60" in (visit.page.locator("article img").get_attribute("src") or "")
