"""Names in the settings that fit nothing: misspelt, or meant for another service that shares the file."""

import difflib
from collections.abc import Iterable

from service.settings import Settings, misspelt_variables
from service.sources.catalogue import Catalogue


def find_unknown_names(settings: Settings, catalogue: Catalogue) -> list[str]:
    """Return a sentence on each dataset and split that has settings and is not served, on misspelt variables, and on allowed roots that are not there."""
    served = {each.name: each.splits for each in catalogue.datasets}
    sentences = []
    for name, own in settings.datasets.items():
        if name in served:
            sentences += [_describe_split(split, name, served[name]) for split in own.splits if split not in served[name]]
        elif name not in catalogue.unavailable:
            sentences.append(f"There are settings for a dataset {name!r}, which is not served. Served: {', '.join(served)}.{_suggest(name, served)}")
    missing = [each for each in settings.allowed_roots if not each.is_dir()]
    sentences += [f"allowed_roots: there is no folder {each}, so no link is followed to it." for each in missing]
    return [*sentences, *(f"The variable {name} is no setting. Did you mean {close}?" for name, close in misspelt_variables().items())]


def _describe_split(split: str, dataset: str, known: Iterable[str]) -> str:
    return f"There are settings for a split {split!r} of {dataset!r}, which it does not have. It has: {', '.join(known)}.{_suggest(split, known)}"


def _suggest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is closest to another, as a question; nothing if none is close."""
    close = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1)
    return f" Did you mean {next(each for each in known if each.lower() == close[0])!r}?" if close else ""
