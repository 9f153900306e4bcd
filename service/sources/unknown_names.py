"""Names in the settings that fit nothing: misspelt, or meant for another service that shares the file."""

import difflib
from collections.abc import Iterable

from service.settings import Settings, misspelt_variables
from service.sources.catalogue import Catalogue


def find_unknown_names(settings: Settings, catalogue: Catalogue) -> list[str]:
    """Return sentences on names in the settings that fit nothing.

    These are datasets and splits that have settings and are not served, misspelt variables, and allowed roots that are
    not there.
    """
    served = {each.name: each.splits for each in catalogue.datasets}
    sentences = []
    for name, own in settings.datasets.items():
        if name in served:
            sentences += [_describe_split(each, name, served[name]) for each in own.splits if each not in served[name]]
        elif name not in catalogue.unavailable:
            sentences.append(_describe_dataset(name, served))
    missing = [each for each in settings.allowed_roots if not each.is_dir()]
    sentences += [f"allowed_roots: there is no folder {each}, so no link is followed to it." for each in missing]
    variables = misspelt_variables().items()
    return [*sentences, *(f"The variable {name} is no setting. Did you mean {close}?" for name, close in variables)]


def _describe_dataset(name: str, known: Iterable[str]) -> str:
    what = f"There are settings for a dataset {name!r}, which is not served."
    return f"{what} Served: {', '.join(known)}.{_suggest(name, known)}"


def _describe_split(split: str, dataset: str, known: Iterable[str]) -> str:
    what = f"There are settings for a split {split!r} of {dataset!r}, which it does not have."
    return f"{what} It has: {', '.join(known)}.{_suggest(split, known)}"


def _suggest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is closest to another, as a question; nothing if none is close."""
    close = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1)
    return f" Did you mean {next(each for each in known if each.lower() == close[0])!r}?" if close else ""
