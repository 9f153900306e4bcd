"""What the NVIDIA driver says about a GPU, through NVML (`nvidia-ml-py`), without touching CUDA.

Both the package and the driver are optional. Whatever is missing or refused is None, never an error.
"""

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from types import ModuleType
from typing import Any

from service.processor import Memory


@dataclass(frozen=True, slots=True)
class Report:
    """What NVML says about one GPU now; None where it says nothing. The fields mean what they mean in `Device`."""

    uuid: str | None = None
    memory: Memory | None = None
    utilization_percent: int | None = None
    temperature_celsius: int | None = None


class Nvml:
    """NVML, started once, when first asked. Thread-safe; calls take microseconds and make no CUDA context.

    Args:
        library: the module `pynvml` or a stand-in; None imports it when first asked.
    """

    def __init__(self, library: ModuleType | None = None) -> None:
        self._given = library
        self._lock = Lock()
        self._started: ModuleType | None = None
        self._is_settled = False  # started, failed to, or closed
        self._handles: dict[str, Any] = {}

    def driver(self) -> str | None:
        """Gives the driver's version."""
        library = self._start()
        return None if library is None else _text(_ask(library, library.nvmlSystemGetDriverVersion))

    def read(self, uuid: str) -> Report:
        """Reads one GPU or MIG instance.

        Args:
            uuid: its UUID as CUDA gives it, without a prefix. NVML's numbers are of no use: it counts every GPU, CUDA only the visible ones, by its own order.
        """
        library = self._start()
        handle = None if library is None else self._find(library, uuid)
        if library is None or handle is None:
            return Report()
        full_uuid = _text(_ask(library, library.nvmlDeviceGetUUID, handle))
        chip = handle
        if full_uuid is not None and full_uuid.startswith("MIG-"):  # an instance has memory of its own, but the thermometer is its GPU's
            chip = _ask(library, library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)
        memory = _ask(library, library.nvmlDeviceGetMemoryInfo, handle)
        rates = _ask(library, library.nvmlDeviceGetUtilizationRates, handle)
        temperature = None if chip is None else _ask(library, library.nvmlDeviceGetTemperature, chip, library.NVML_TEMPERATURE_GPU)
        return Report(
            uuid=full_uuid,
            memory=None if memory is None else Memory(int(memory.total), int(memory.free)),
            utilization_percent=None if rates is None else int(rates.gpu),
            temperature_celsius=None if temperature is None else int(temperature),
        )

    def close(self) -> None:
        """Ends NVML if it was started; from then on everything is None."""
        with self._lock:
            library, self._started, self._is_settled = self._started, None, True
            self._handles.clear()
        if library is not None:
            with suppress(library.NVMLError):
                library.nvmlShutdown()

    def _start(self) -> ModuleType | None:
        with self._lock:
            if not self._is_settled:
                self._is_settled = True
                self._started = _start(self._given)
            return self._started

    def _find(self, library: ModuleType, uuid: str) -> object:
        handle = self._handles.get(uuid)
        for prefix in ("GPU-", "MIG-"):
            handle = handle or _ask(library, library.nvmlDeviceGetHandleByUUID, prefix + uuid)
        if handle is not None:
            self._handles[uuid] = handle
        return handle


def _start(library: ModuleType | None) -> ModuleType | None:
    try:
        library = library or importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library


def _ask(library: ModuleType, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401  the package has no types
    try:
        return call(*arguments)
    except library.NVMLError:
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
