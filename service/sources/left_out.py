"""Sentences for the operator on what a listing leaves out or finds odd.

They go to clients, too: nothing in them is outside the dataset.
"""

import unicodedata
from collections.abc import Container, Iterable

from service.sources.layout import enumerate_names
from service.sources.source import printable
from service.sources.tree import Folder, Tree

ALLOW = "name the folder that they lead to in allowed_roots (BATCHLENS_ALLOWED_ROOTS)"
_MOST_FOLDERS = 8


def describe_loose(tree: Tree, splits: Container[str]) -> list[str]:
    """Return a sentence on each folder with images that lie in no class folder, on the first few.

    Args:
        tree: as it was walked.
        splits: names of those that have images in classes.
    """
    folders = [folder for folder in tree.folders if folder.loose]
    notes = [_describe_folder(folder, folder.place.split in splits) for folder in folders[:_MOST_FOLDERS]]
    more = len(folders) - len(notes)
    return [*notes, f"Left out likewise: images in {more:,} more folders."] if more else notes


def describe_links(tree: Tree) -> list[str]:
    """Return a sentence on links that are refused, if there are any."""
    if not tree.refused:
        return []
    what = f"{tree.refused:,} links are refused, since they lead"
    if tree.refused == 1:
        what = "1 link is refused, since it leads"
    return [f"{what} out of the dataset's folder. To follow such links, {ALLOW}."]


def describe_similar(what: str, names: Iterable[str]) -> list[str]:
    """Return a sentence on names that differ only by case or Unicode form, if there are any.

    On other systems such names are one folder.

    Args:
        what: is called like this, in the plural.
        names: all different.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    groups = [" and ".join(map(_show, each)) for each in alike.values() if len(each) > 1]
    return [f"{what} differ only by case or Unicode form: {enumerate_names(groups)}."] if groups else []


def _describe_folder(folder: Folder, has_classes: bool) -> str:
    place, count = printable(folder.place.path), f"{folder.loose:,} image{'s' * (folder.loose != 1)}"
    if not place:
        return f"Left out beside its folders: {count}."
    if has_classes:
        return f"Left out directly in {place}/, in no class folder: {count}."
    return f"{place}/ is left out: no class folder holds its {count}."


def _show(name: str) -> str:
    """Return a name, and its code points if it is not plain ASCII: two forms of one letter look alike."""
    shown = printable(name)
    return repr(shown) if shown.isascii() else f"{shown!r} ({ascii(shown)[1:-1]})"
