"""Images that are odd, broken or hostile: each gets its documented answer, none ends a worker, and memory stays."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from tests.e2e.conftest import ROOT
from tests.reliability.conftest import Figures, StartServer, TroubledServer, end, launch, loaders, resident_bytes
from tests.reliability.corpus import Specimen, broken, whole
from tests.sources.test_decoding import MUTATED, mutate, with_right_checksums

MOST_GROWTH_BYTES = 20 << 20
SPLIT = "/datasets/strange/splits/train"
SMALL = "Resize([16, 16]) | ToTensor()"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Makes a dataset `strange` of one class."""
    root = folder / "strange"
    for name, content in files.items():
        path = root / "train" / "any" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@cache
def corpus() -> dict[str, Specimen]:
    return whole() | broken()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("corpus"), {name: each.content for name, each in corpus().items()})


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[TroubledServer]:
    """One server of the corpus for all tests here: whatever one asks must leave it whole for the next."""
    server = launch(root, log=root.with_name("server.log"), workers=1)
    yield server
    end(server)


def ask(server: TroubledServer, index: int, on_error: str = "fail", suffix: str = "safetensors"):
    """Asks for a batch of one sample."""
    query = {"shuffle": "false", "batch_size": 1, "recipe": SMALL, "on_error": on_error}
    return server.get(f"{SPLIT}/batches/0/{index}.{suffix}", params=query)


def test_every_specimen_gets_its_documented_answer(root: Path, server: TroubledServer, figure: Figures) -> None:
    names = sorted(corpus())
    assert [Path(each["file"]).name for each in server.get(f"{SPLIT}/samples").json()["samples"]] == names
    for index, name in enumerate(names):
        specimen = corpus()[name]
        assert server.get(f"{SPLIT}/samples/{index}/image").content == specimen.content, "the file itself is always to be had"
        answer, masked = ask(server, index), ask(server, index, "mask")
        if specimen.code:
            problem = answer.json()
            assert (answer.status_code, problem["code"], problem["sample"], problem["file"]) == (422, specimen.code, index, f"train/any/{name}")
            assert ask(server, index).json() == problem, "the answer is stable"
            assert str(root) not in answer.text
            assert not safetensors.numpy.load(masked.content)["images"].any()
            assert ask(server, index, "mask", "json").json()["samples"][0]["problem"]
        else:
            assert answer.status_code == 200, (name, answer.text)
            sample = server.get(f"{SPLIT}/samples/{index}").json()
            assert (sample["width"], sample["height"], sample["problem"]) == (*specimen.size, None)
            assert safetensors.numpy.load(answer.content)["images"].tobytes() == safetensors.numpy.load(masked.content)["images"].tobytes()
    assert [each["restarts"] for each in loaders(server)] == [0], "no worker died"
    figure("specimens with their documented answer", f"{len(names)} of {len(names)}, 0 workers died")


def test_orientation_is_ignored_and_movies_show_their_first_frame(root: Path, server: TroubledServer) -> None:
    names = sorted(corpus())

    def pixels(name: str) -> bytes:
        query = {"shuffle": "false", "batch_size": 1, "recipe": "Identity()"}
        return safetensors.numpy.load(server.get(f"{SPLIT}/batches/0/{names.index(name)}.safetensors", params=query).content)["images"].tobytes()

    assert len({pixels(f"exif-{each}.jpg") for each in range(1, 9)}) == 1
    with Image.open(root / "train/any/moving.webp") as movie:
        assert movie.n_frames == 2
        movie.seek(0)
        assert pixels("moving.webp") == np.array(movie.convert("RGB")).transpose(2, 0, 1).tobytes()


def test_an_image_that_a_recipe_would_blow_up_is_refused(root: Path, server: TroubledServer) -> None:
    """The smaller side of 30,000 x 1 pixels resized to 256 would make 2,000 megapixels; like any other sample, it can be masked."""
    for name in ("wide.png", "wide.jpg"):
        index = sorted(corpus()).index(name)
        answer = server.get(f"{SPLIT}/batches/0/{index}.png", params={"shuffle": "false", "batch_size": 1, "recipe": "val"})
        assert (answer.status_code, answer.json()["code"], answer.json()["sample"]) == (422, "step-failed", index)
        query = {"shuffle": "false", "batch_size": 1, "recipe": "val", "on_error": "mask"}
        (row,) = server.get(f"{SPLIT}/batches/0/{index}.json", params=query).json()["samples"]
        assert (row["width"], row["height"], row["applied"]) == (30_000, 1, [])
        assert "Resize(256) cannot be applied to a 30000x1 image" in row["problem"]
    assert [each["restarts"] for each in loaders(server)] == [0]


def test_a_bomb_is_refused_by_its_header(root: Path, server: TroubledServer, figure: Figures) -> None:
    index = sorted(corpus()).index("bomb.png")
    assert len(corpus()["bomb.png"].content) < 60_000
    ask(server, 0)
    (worker,) = loaders(server)[0]["pids"]
    before, seconds = resident_bytes(worker), []
    for _ in range(10):
        started = time.perf_counter()
        assert ask(server, index).json()["code"] == "image-too-large"
        seconds.append(time.perf_counter() - started)
    grown = resident_bytes(worker) - before
    assert grown < MOST_GROWTH_BYTES, "decoded, it has 1,200 MB"
    figure(
        "a bomb of 49 KB and 400 megapixels is refused (goal 50 ms)", f"{sorted(seconds)[5] * 1000:.1f} ms at the median, memory grew {grown / 2**20:.1f} MB"
    )


def test_memory_stays_while_bad_images_are_read(root: Path, server: TroubledServer, figure: Figures) -> None:

    def read_all(seed: int) -> None:
        for index in range(len(corpus())):
            server.get(f"{SPLIT}/batches/{seed}/{index}.safetensors", params={"batch_size": 1, "recipe": SMALL})
        server.get(f"{SPLIT}/batches/{seed}/0.png", params={"batch_size": 64, "recipe": SMALL, "on_error": "mask"})

    for seed in range(3):
        read_all(seed)
    pids = [server.process.pid, *loaders(server)[0]["pids"]]
    before = [resident_bytes(pid) for pid in pids]
    for seed in range(3, 13):
        read_all(seed)
    assert loaders(server)[0]["pids"] == pids[1:]
    grown = [resident_bytes(pid) - each for pid, each in zip(pids, before, strict=True)]
    assert max(grown) < MOST_GROWTH_BYTES
    figure("memory grows over 10 epochs of bad images (goal below 20 MB)", f"server {grown[0] / 2**20:.1f} MB, worker {grown[1] / 2**20:.1f} MB")


def damage(random: Random) -> bytes:
    """Damages a valid file of some format; what would be refused for its length alone is cut."""
    name = random.choice(list(MUTATED))
    damaged = mutate(MUTATED[name], random)[: 1 << 20]
    return with_right_checksums(damaged) if name.startswith("PNG") and random.random() < 0.7 else damaged


def test_ten_thousand_mutations_end_no_worker(tmp_path: Path, start_server: StartServer, figure: Figures) -> None:
    random, batch_size = Random(2026), 100
    root = write(tmp_path, {f"{number:05}.jpg": damage(random) for number in range(10_000)})
    server = start_server(root, workers=1, BATCHLENS_MAX_IMAGE_PIXELS="1000000")

    def count_problems(step: int) -> int:
        query = {"shuffle": "false", "batch_size": batch_size, "recipe": SMALL, "on_error": "mask"}
        answer = server.get(f"{SPLIT}/batches/0/{step}.safetensors", params=query)
        assert answer.status_code == 200
        return int((~safetensors.numpy.load(answer.content)["valid"]).sum())

    refused = sum(count_problems(step) for step in range(10))
    pids = [server.process.pid, *loaders(server)[0]["pids"]]
    before = [resident_bytes(pid) for pid in pids]
    refused += sum(count_problems(step) for step in range(10, 100))
    assert 1000 < refused < 9000
    assert (loaders(server)[0]["restarts"], loaders(server)[0]["pids"]) == (0, pids[1:])
    grown = [resident_bytes(pid) - each for pid, each in zip(pids, before, strict=True)]
    assert max(grown) < MOST_GROWTH_BYTES
    figure(
        "10,000 mutations of valid files (goal: no worker dies, memory grows below 20 MB)",
        f"{10_000 - refused} read, {refused} refused, 0 deaths, server grew {grown[0] / 2**20:.1f} MB, worker {grown[1] / 2**20:.1f} MB",
    )


@pytest.mark.parametrize("as_json", [True, False])
def test_check_lists_all_of_them_with_reasons(root: Path, as_json: bool) -> None:
    command = [sys.executable, "-m", "service", "check", "--data", str(root), *(["--json"] if as_json else [])]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    wanted = {f"train/any/{name}": each.code for name, each in broken().items()}
    if as_json:
        report = json.loads(done.stdout)
        assert report["checked"] == len(corpus())
        assert {each["file"]: each["code"] for each in report["broken"]} == wanted
        assert all(each["problem"] and str(root) not in each["problem"] for each in report["broken"])
    else:
        rows = [line for line in done.stdout.splitlines() if line.startswith("│") and "train/any/" in line]
        assert len(rows) == len(wanted)
        assert all(any(file in row for row in rows) for file in wanted)
        assert f"{len(wanted)} of {len(corpus())} images cannot be used." in done.stdout
        assert f"Note: the EXIF orientation of 7 of {len(corpus())} images is ignored" in done.stdout
