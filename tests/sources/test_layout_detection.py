"""How a folder is read where the settings do not say."""

from pathlib import Path

import pytest

from service.sources.layout import DEFAULT, Reading
from service.sources.layout_detection import detect
from service.sources.probe import Probe
from tests.sources.conftest import Plant


def read(root: Path) -> Reading | None:
    return detect(Probe(), root, "xray")


def test_names_of_splits_decide_first(plant: Plant):
    assert read(plant("train/NORMAL/p1/1.png", "train/NORMAL/2.png", "even/NORMAL/p2/3.png", "4.png")) == DEFAULT


def test_images_directly_in_folders_make_these_classes(plant: Plant):
    reading = read(plant("cat/1.png", "dog/1.png", "dog/more/2.png", "notes/readme.txt"))
    assert reading is not None
    assert (reading.layout, reading.left_out) == ("class/**", ())
    (note,) = reading.notes
    assert note == (
        "Read as class/file: cat, dog are classes, and all images make one split 'all'. layout = \"split/class/**\" in [datasets.xray] reads them as splits."
    )


def test_a_flat_folder_called_like_a_split_is_no_class_and_is_told(plant: Plant):
    reading = read(plant("cat/1.png", "dog/1.png", "test/2.png", "Val/notes.txt"))
    assert reading is not None
    assert (reading.layout, reading.left_out) == ("class/**", ("Val", "test"))
    assert reading.notes[1:] == (
        'test/ is left out: it is called like a split, and its images lie in no class folder. layout = "class/**" in [datasets.xray] reads it as a class.',
    )


def test_folders_of_one_name_in_several_make_these_splits(plant: Plant):
    reading = read(plant("even/cat/1.png", "even/dog/1.png", "odd/cat/1.png", "more/owl/1.png"))
    assert reading is not None
    assert (reading.layout, reading.left_out) == ("split/class/**", ())
    (note,) = reading.notes
    assert note == (
        "Read as split/class/file: even, more, odd are splits, although not called like splits. "
        'layout = "class/group/**" in [datasets.xray] reads the upper folders as classes.'
    )


def test_one_folder_with_folders_is_a_split(plant: Plant):
    reading = read(plant("images/cat/1.png", "images/dog/1.png", "labels/cat/1.txt"))
    assert reading is not None
    assert reading.layout == "split/class/**"
    assert reading.notes[0].startswith("Read as split/class/file: images is a split, although not called like one. ")


def test_folders_that_differ_between_all_make_these_classes(plant: Plant):
    reading = read(plant("NORMAL/p1/1.png", "NORMAL/p2/1.png", "PNEUMONIA/p3/1.png", "SARS/p4/1.png", "UNCLEAR/p5/1.png", "test/2.png"))
    assert reading is not None
    assert (reading.layout, reading.left_out) == ("class/group/**", ("test",))
    assert reading.notes[0] == (
        "Read as class/group/file: NORMAL, PNEUMONIA, SARS and 1 more are classes, since no two of them have a folder of one name in common, "
        "and all images make one split 'all'. If each of them is a dataset of its own, name them as paths. "
        'layout = "split/class/**" in [datasets.xray] reads them as splits.'
    )
    assert reading.notes[1].startswith("test/ is left out")


@pytest.mark.parametrize("place", ["1.png", "train/1.png", "cat/1.txt", "a/b/c/1.png", ".hidden/1.png", "cat/1.png/"])
def test_no_rule_fits(place: str, plant: Plant, tmp_path: Path):
    if place.endswith("/"):
        (tmp_path / place).mkdir(parents=True)
    else:
        plant(place)
    assert read(tmp_path) is None


def test_the_setting_is_quoted_as_toml_wants_it(plant: Plant):
    root = plant("cat/1.png")
    for name, key in (("my cars", '"my cars"'), ('a"b', '"a\\"b"'), ("a-b_1", "a-b_1"), ("caf\udce9", '"caf\ufffd"'), ("größe", '"größe"')):
        reading = detect(Probe(), root, name)
        assert reading is not None
        assert f"in [datasets.{key}] reads" in reading.notes[0]
