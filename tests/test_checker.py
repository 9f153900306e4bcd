"""`Checker`: what `batchlens check` finds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from service.checker import IN_PROCESS, Broken, Checker, CheckReport, Oriented
from service.settings import Settings
from service.sources.catalogue import Catalogue


@pytest.fixture
def check(settings: Callable[..., Settings]) -> Callable[..., CheckReport]:
    """Checks the dataset `pets`; keywords are settings."""

    def run(**flags: object) -> CheckReport:
        own = settings(**flags)
        checker = Checker(own, Catalogue.open(own))
        assert sum(checker.run()) == checker.total == checker.report.checked
        return checker.report

    return run


def test_an_image_that_the_splits_own_recipe_does_not_fit(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    Image.new("RGB", (4000, 2)).save(dataset_folder / "val/cat/thin.png")
    Image.new("RGB", (30_000, 1)).save(dataset_folder / "val/cat/thread.png")
    Image.new("RGB", (20, 90)).save(dataset_folder / "train/cat/small.png")
    report = check(datasets={"pets": {"train": {"recipe": "RandomCrop(24)"}}})
    assert report.checked == 17
    small, thread = report.broken
    problem = "recipe RandomCrop(24): RandomCrop(24) cannot be applied to a 20x90 image: Required crop size (24, 24) is larger than"
    assert small.problem.startswith(problem)
    assert (small.split, small.sample, small.file, small.code, small.recipe) == ("train", 4, "train/cat/small.png", "step-failed", "RandomCrop(24)")
    assert thread.problem.startswith("recipe val: Resize(256) cannot be applied to a 30000x1 image")
    assert (thread.split, thread.file, thread.recipe) == ("val", "val/cat/thread.png", "val")


def test_a_named_recipe_is_called_by_its_name(check: Callable[..., CheckReport]) -> None:
    report = check(recipes={"large": "RandomCrop(1000)"}, datasets={"pets": {"val": {"recipe": "large"}}})
    assert {(each.split, each.recipe) for each in report.broken} == {("val", "large")}
    assert len(report.broken) == 5
    report = check(recipes={"val": "RandomCrop(1000)"})
    assert {(each.split, each.recipe) for each in report.broken} == {("val", "val")}


def test_an_image_is_reduced_as_in_batches(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    Image.new("RGB", (400, 300)).save(dataset_folder / "val/cat/large.png")
    recipes = {"pets": {"val": {"recipe": "RandomCrop(250)"}}}
    assert "val/cat/large.png" not in {each.file for each in check(datasets=recipes).broken}
    recipes["pets"]["max_resolution"] = 200
    assert "val/cat/large.png" in {each.file for each in check(datasets=recipes).broken}


def test_files_at_fault_are_told_as_before(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    (dataset_folder / "val/owl/zero.png").touch()
    assert check().broken == [Broken("pets", "val", 5, "val/owl/zero.png", "unreadable-image", check().broken[0].problem, None)]
    assert check().broken[0].problem.startswith("cannot be decoded: it is none of JPEG")


def test_ignored_orientation_is_a_note(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(dataset_folder / "val/owl/turned.jpg", exif=exif)
    report = check()
    assert report.broken == []
    assert report.oriented == [Oriented("pets", "val", 5, "val/owl/turned.jpg", 6)]
    assert report.to_json()["oriented"][0]["exif_orientation"] == 6


def test_many_images_are_checked_by_workers_and_told_in_order(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    for number in range(IN_PROCESS):
        Image.new("RGB", (9, 7)).save(dataset_folder / f"val/owl/{number:03}.png")
        if number % 9 == 0:
            os.truncate(dataset_folder / f"val/owl/{number:03}.png", 20)
    report = check()
    assert report.checked == 14 + IN_PROCESS
    assert [each.file for each in report.broken] == [f"val/owl/{number:03}.png" for number in range(0, IN_PROCESS, 9)]


def test_a_lack_of_memory_is_told(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    """An image that no batch can hold fails alone."""
    Image.new("RGB", (3, 300)).save(dataset_folder / "val/cat/tall.png")
    (found,) = check(slab_bytes=1 << 20, datasets={"pets": {"val": {"recipe": "Resize(200)"}}}).broken
    assert (found.code, found.file, found.recipe) == ("batch-too-large", "val/cat/tall.png", "Resize(200)")


def test_a_short_queue_and_deadline_are_no_fault_of_an_image(check: Callable[..., CheckReport], dataset_folder: Path) -> None:
    """Images wait for workers that are still starting, and for each other."""
    for number in range(IN_PROCESS):
        Image.new("RGB", (16, 16)).save(dataset_folder / f"train/cat/more{number}.png")
    report = check(queue_length=1, deadline_seconds=0.001)
    assert report.broken == []
