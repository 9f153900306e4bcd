"""Stand-ins for the calls of two libraries, torch.cuda and pynvml: the machines that are not at hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from service.devices.inventory import Inventory
from service.devices.nvml import Nvml

GIB = 1 << 30


@dataclass
class Gpu:
    """A GPU, or a MIG instance if it has a chip."""

    uuid: str
    name: str = "NVIDIA H100"
    total: int = 80 * GIB
    free: int = 60 * GIB
    temperature: int = 41
    utilization: int = 7
    bus: int = 0x3B
    reserved: int = 0
    chip: "Gpu | None" = None


@dataclass
class TorchCuda:
    """torch.cuda, as far as the inventory calls it; anything else, such as set_device, is an AttributeError."""

    gpus: list[Gpu]
    is_initialised: bool = False
    contexts: list[int] = field(default_factory=list)

    def is_available(self) -> bool:
        return bool(self.gpus)

    def init(self) -> None:
        self.is_initialised = True

    def device_count(self) -> int:
        return len(self.gpus) if self.is_initialised else 99

    def get_device_properties(self, device: int) -> SimpleNamespace:
        gpu = self.gpus[device]
        return SimpleNamespace(
            name=gpu.name,
            major=9,
            minor=0,
            multi_processor_count=132,
            total_memory=gpu.total - 1,
            uuid=gpu.uuid,
            pci_domain_id=0,
            pci_bus_id=gpu.bus,
            pci_device_id=0,
        )

    def memory_reserved(self, device: int) -> int:
        return self.gpus[device].reserved

    def mem_get_info(self, device: int) -> tuple[int, int]:
        self.contexts.append(device)
        return self.gpus[device].free - 1, self.gpus[device].total - 1


class Pynvml:
    """pynvml: numbers the GPUs its own way, answers only between init and shutdown, and refuses what `refuses` names."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: list[Gpu], refuses: tuple[str, ...] = (), text: Callable[[str], str | bytes] = str) -> None:
        self.gpus, self.refuses, self.text = gpus, refuses, text
        self.starts, self.ends = 0, 0

    def nvmlInit(self) -> None:  # noqa: N802
        self._allow("nvmlInit", is_running=False)
        self.starts += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._allow("nvmlShutdown")
        self.ends += 1

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        self._allow("nvmlSystemGetDriverVersion")
        return self.text("580.95.05")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Gpu:  # noqa: N802
        self._allow("nvmlDeviceGetHandleByUUID")
        for gpu in self.gpus:
            if uuid == self._full(gpu):
                return gpu
        raise self.NVMLError("Not Found")

    def nvmlDeviceGetUUID(self, handle: Gpu) -> str | bytes:  # noqa: N802
        self._allow("nvmlDeviceGetUUID")
        return self.text(self._full(handle))

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: Gpu) -> Gpu:  # noqa: N802
        self._allow("nvmlDeviceGetDeviceHandleFromMigDeviceHandle")
        assert handle.chip is not None
        return handle.chip

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu) -> SimpleNamespace:  # noqa: N802
        self._allow("nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(total=handle.total, free=handle.free, used=handle.total - handle.free)

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> SimpleNamespace:  # noqa: N802
        self._allow("nvmlDeviceGetUtilizationRates", is_chip=handle.chip is None)
        return SimpleNamespace(gpu=handle.utilization, memory=0)

    def nvmlDeviceGetTemperature(self, handle: Gpu, sensor: int) -> int:  # noqa: N802
        self._allow("nvmlDeviceGetTemperature", is_chip=handle.chip is None and sensor == self.NVML_TEMPERATURE_GPU)
        return handle.temperature

    def _full(self, gpu: Gpu) -> str:
        return f"{'GPU' if gpu.chip is None else 'MIG'}-{gpu.uuid}"

    def _allow(self, call: str, is_running: bool = True, is_chip: bool = True) -> None:
        if call in self.refuses or not is_chip or is_running != (self.starts > self.ends):
            raise self.NVMLError(call)


@dataclass
class Machine:
    """An inventory with the libraries beneath it."""

    cuda: TorchCuda
    pynvml: Pynvml
    inventory: Inventory


@pytest.fixture
def gpu() -> type[Gpu]:
    return Gpu


@pytest.fixture
def machine() -> Callable[..., Machine]:
    """Builds a machine: the GPUs in torch's order and, if it differs, in NVML's; calls that NVML refuses."""

    def build(
        *gpus: Gpu, nvml: list[Gpu] | None = None, refuses: tuple[str, ...] = (), text: Callable[[str], str | bytes] = str, version: str | None = "13.0"
    ) -> Machine:
        cuda = TorchCuda(list(gpus))
        pynvml = Pynvml(list(gpus) if nvml is None else nvml, refuses, text)
        torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda=version))
        return Machine(cuda, pynvml, Inventory(torch, Nvml(pynvml)))

    return build


@pytest.fixture
def pair(machine: Callable[..., Machine]) -> Machine:
    """Two GPUs that NVML counts the other way round."""
    small = Gpu("aaaaaaaa-0000-0000-0000-000000000000", "NVIDIA RTX 4000", 20 * GIB, 3 * GIB, temperature=70, utilization=99, bus=0xC1)
    large = Gpu("bbbbbbbb-0000-0000-0000-000000000000", "NVIDIA H100", 80 * GIB, 79 * GIB, temperature=30, utilization=0, bus=0x3B)
    return machine(large, small, nvml=[small, large])
