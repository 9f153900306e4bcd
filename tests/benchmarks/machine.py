"""What it was measured on."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Self

from service.encoding.fingerprint import Fingerprint
from service.processor import Processor

_LIBRARIES = ("batchlens", "torch", "torchvision", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its software.

    Attributes:
        model: of the processor.
        cores: that this process may use.
        memory_bytes: of the machine, or what its control group leaves of it.
        capability: the code path that torch has chosen.
        versions: of Python and the libraries.
        date: when, UTC.
        load: runnable processes in the last minute before the start, as the kernel averages them; of others, since nothing was being measured.
    """

    model: str
    cores: int
    memory_bytes: int
    capability: str
    versions: dict[str, str]
    date: str
    load: float

    @classmethod
    def here(cls) -> Self:
        """Describes this machine, now."""
        processor = Processor()
        versions = {"Python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
        return cls(
            model=processor.name,
            cores=processor.count(),
            memory_bytes=processor.memory().total_bytes,
            capability=Fingerprint.of_this_process().cpu_capability,
            versions=versions,
            date=datetime.now(UTC).date().isoformat(),
            load=os.getloadavg()[0],
        )
