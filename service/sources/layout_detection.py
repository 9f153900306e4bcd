"""The rules that decide how a folder is read where the settings do not say; the first that fits counts.

1. One of its folders is called like a split and holds classes: `split/class/**`, ImageFolder's reading, whatever lies
   deeper.
2. (`discovery` asks whether its folders are datasets by rule 1.)
3. Images lie directly in its folders: these are classes.
4. Images lie one level deeper: `split/class/**` with unusual names of splits, unless no two of its folders have a
   folder of one name in common, as with patients, videos or cameras. That speaks for `class/group/**`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from service.settings import Layout
from service.sources.layout import CLASS, CLASS_GROUP, SPLIT_CLASS, Reading, enumerate_names, setting
from service.sources.probe import Probe, is_split_name
from service.sources.source import printable
from service.sources.tree import ONLY_SPLIT


def detect(probe: Probe, path: Path, name: str) -> Reading | None:
    """Decide how a folder is read as one dataset, by rules 1, 3 and 4; None if no rule fits.

    Args:
        probe: looks into folders.
        path: the folder.
        name: of the dataset, for the notes.
    """
    return Reading() if probe.has_splits(path) else detect_without_split_names(probe, path, name)


def detect_without_split_names(probe: Probe, path: Path, name: str) -> Reading | None:
    """Decide as `detect` does, by rules 3 and 4 alone."""
    folders = [each for each in probe.folders(path) if not is_split_name(each.name)]
    flat = [printable(each.name) for each in folders if probe.has_image(each)]
    if flat:
        note = f"Read as class/file: {_folders(flat)}, and all images make one split {ONLY_SPLIT!r}."
        return _without_splits(CLASS, note, probe, path, name)
    below = {each: {deeper.name for deeper in probe.folders(each) if probe.has_image(deeper)} for each in folders}
    return _by_second_level({printable(each.name): names for each, names in below.items() if names}, probe, path, name)


def _by_second_level(below: Mapping[str, set[str]], probe: Probe, path: Path, name: str) -> Reading | None:
    """Apply rule 4.

    Args:
        below: names of the folders that hold images, by the folder that they lie in.
        probe: looks into folders.
        path: the dataset's folder.
        name: of the dataset.
    """
    if not below:
        return None
    folders = list(below)
    if len(below) > 1 and _are_disjoint(below.values()):
        why = "since no two of them have a folder of one name in common"
        one = f"and all images make one split {ONLY_SPLIT!r}. If each of them is a dataset of its own, name them as paths"
        note = f"Read as class/group/file: {_folders(folders)}, {why}, {one}."
        return _without_splits(CLASS_GROUP, note, probe, path, name)
    called = "splits, although not called like splits" if len(folders) > 1 else "a split, although not called like one"
    are = f"{enumerate_names(folders)} {'are' if len(folders) > 1 else 'is'} {called}"
    other = f"{setting(name, CLASS_GROUP)} reads the upper folders as classes"
    return Reading(SPLIT_CLASS, notes=(f"Read as split/class/file: {are}. {other}.",))


def _without_splits(layout: Layout, note: str, probe: Probe, path: Path, name: str) -> Reading:
    called_like_splits = [each for each in probe.folders(path) if is_split_name(each.name)]
    why = "it is called like a split, and its images lie in no class folder"
    other = f"{setting(name, layout)} reads it as a class"
    flat = [f"{each.name}/ is left out: {why}. {other}." for each in called_like_splits if probe.has_image(each)]
    notes = (f"{note} {setting(name, SPLIT_CLASS)} reads them as splits.", *flat)
    return Reading(layout, tuple(each.name for each in called_like_splits), notes)


def _folders(names: list[str]) -> str:
    return f"{enumerate_names(names)} {'are classes' if len(names) > 1 else 'is a class'}"


def _are_disjoint(sets: Iterable[set[str]]) -> bool:
    seen: set[str] = set()
    for each in sets:
        if not seen.isdisjoint(each):
            return False
        seen |= each
    return True
