"""What is told of a folder besides its samples."""

from pathlib import Path

from tests.sources.conftest import Plant, Scan


class TestNotes:
    def test_on_images_that_lie_in_no_class(self, plant: Plant, scan: Scan):
        root = plant("1.png", "train/a/1.png", "train/2.png", "train/3.JPG", "test/4.png", "test/5.png", "docs/6.txt", ".hidden/7.png", "train/notes.txt")
        (root / "train/link.png").symlink_to("a/1.png")
        assert scan(root).notes == (
            "Left out beside its folders: 1 image.",
            "test/ is left out: no class folder holds its 2 images.",
            "Left out directly in train/, in no class folder: 3 images.",
        )

    def test_on_many_folders_stay_few(self, plant: Plant, scan: Scan):
        notes = scan(plant("train/a/1.png", *(f"s{number:02}/1.png" for number in range(20)))).notes
        assert (len(notes), notes[-1]) == (9, "Left out likewise: images in 12 more folders.")

    def test_on_classes_that_differ_by_case_or_unicode_form(self, plant: Plant, scan: Scan):
        root = plant("train/Cat/1.png", "train/cat/2.png", "train/caf\u00e9/3.png", "train/cafe\u0301/4.png", "train/dog/5.png", "val/cafe/6.png")
        dataset = scan(root)
        assert len(dataset.classes) == 6
        assert dataset.notes == ("Classes differ only by case or Unicode form: 'Cat' and 'cat', 'cafe\u0301' (cafe\\u0301) and 'caf\u00e9' (caf\\xe9).",)

    def test_on_splits_that_differ_by_case(self, plant: Plant, scan: Scan):
        assert scan(plant("Train/a/1.png", "train/a/2.png")).notes == ("Splits differ only by case or Unicode form: 'Train' and 'train'.",)

    def test_say_nothing_of_a_folder_that_is_plain(self, photos: Path, scan: Scan):
        assert scan(photos).notes == ()
