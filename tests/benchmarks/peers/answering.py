"""What a contender's process says: one line of JSON for each that it reads. Standard library only: peers run in an environment of their own.

It first says `{"ready": true, "versions": {...}}`, or `{"missing": "tensorflow"}` and ends. Then it reads a number of seconds a line, runs whole epochs until
they are over (one at least), and answers with the time it began and [time, images] for each batch, by the machine's monotonic clock.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata


def require(module: str, *distributions: str) -> dict[str, str]:
    """Imports a library, or says that it is missing and ends the process.

    Args:
        module: to import.
        distributions: names on PyPI that may have brought it.

    Returns:
        name and version of what was found.
    """
    try:
        importlib.import_module(module)
    except ImportError as exc:
        print(json.dumps({"missing": f"{module}: {exc}"}), flush=True)
        sys.exit(0)
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def answer(versions: dict[str, str], epoch: Callable[[], Iterable[int]]) -> None:
    """Answers until the standard input ends.

    Args:
        versions: of the libraries that do the work.
        epoch: begins an epoch; gives the number of images of each batch once it is there.
    """
    print(json.dumps({"ready": True, "versions": versions}), flush=True)
    for line in sys.stdin:
        seconds, arrivals, begun = float(line), [], time.monotonic()
        while True:
            arrivals += [(time.monotonic(), images) for images in epoch()]
            if time.monotonic() - begun >= seconds:
                break
        print(json.dumps({"begun": begun, "arrivals": arrivals}), flush=True)


def read_settings() -> tuple[str, int, int, dict[str, str]]:
    """Reads the command line: folder of the split, batch size, side of the crop in pixels, then name=value for each setting."""
    folder, batch_size, side, *settings = sys.argv[1:]
    return folder, int(batch_size), int(side), dict(each.split("=", 1) for each in settings)
