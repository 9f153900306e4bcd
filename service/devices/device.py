"""What is known about a device. A field that nobody could tell is None."""

from dataclasses import dataclass
from typing import Literal

from service.processor import Memory


@dataclass(frozen=True, slots=True)
class Device:
    """One device, as it is now.

    Attributes:
        id: `cpu`, `cuda:0`, ...
        type: `cpu` or `cuda`.
        name: the model's name.
        index: torch's number of the GPU; None for the CPU.
        uuid: the GPU's identity as `nvidia-smi -L` prints it (`GPU-...`, or `MIG-...` for a MIG instance); without the prefix where NVML is missing.
        capability: CUDA compute capability, for instance `9.0`.
        processors: processors that this process may use (affinity and cgroup quota), or the GPU's multiprocessors.
        memory: total and free.
        utilization_percent: share of the last sampling period in which the GPU worked, 0 to 100.
        temperature_celsius: the chip's temperature; of the whole GPU for a MIG instance.
        pci_bus_id: for instance `00000000:3B:00.0`.
    """

    id: str
    type: Literal["cpu", "cuda"]
    name: str
    index: int | None
    uuid: str | None
    capability: str | None
    processors: int
    memory: Memory
    utilization_percent: int | None
    temperature_celsius: int | None
    pci_bus_id: str | None


@dataclass(frozen=True, slots=True)
class Cuda:
    """Whether CUDA can be used.

    Attributes:
        available: whether torch can use at least one GPU.
        version: the CUDA version that torch was built for; None for a build without CUDA.
        driver: the NVIDIA driver's version; None without a driver or without NVML.
        device_count: number of GPUs that torch can use.
    """

    available: bool
    version: str | None
    driver: str | None
    device_count: int
