"""Which devices there are and how they are doing."""

import re
from typing import TYPE_CHECKING, Any, Protocol, cast

from service.devices.device import Cuda, Device
from service.devices.nvml import Nvml
from service.errors import UnknownDevice
from service.processor import Memory, Processor

if TYPE_CHECKING:
    import torch

__all__ = ["Cuda", "Device", "Inventory", "Memory", "Torch", "TorchCuda", "TorchVersion"]

_ID = re.compile(r"cpu|cuda(?::(0|[1-9][0-9]{0,3}))?")


class TorchCuda(Protocol):
    """What the inventory needs of `torch.cuda`."""

    def is_available(self) -> bool:
        """Whether there is a usable GPU."""

    def init(self) -> None:
        """Initialises CUDA in this process, if that has not been done."""

    def device_count(self) -> int:
        """Number of usable GPUs."""

    def get_device_properties(self, device: int) -> Any:  # noqa: ANN401  torch's type is private
        """Name, total memory, UUID, ..."""

    def memory_reserved(self, device: int) -> int:
        """Bytes that this process's tensors hold on a GPU; 0 where it has not worked yet."""

    def mem_get_info(self, device: int) -> tuple[int, int]:
        """Free and total bytes; makes a CUDA context on the GPU."""


class TorchVersion(Protocol):
    """What the inventory needs of `torch.version`."""

    cuda: str | None


class Torch(Protocol):
    """What the inventory needs of `torch`."""

    @property
    def cuda(self) -> TorchCuda:
        """The module `torch.cuda`."""

    @property
    def version(self) -> TorchVersion:
        """The module `torch.version`."""


class Inventory:
    """The machine's devices. Thread-safe; asked per request, since memory and temperature change.

    What touches what: `cuda`, `identify` and `torch_device` count the GPUs, which initialises CUDA in this process. `devices` and `find` also read a GPU's
    fixed properties from torch, and memory, utilisation and temperature from NVML. None of this makes a CUDA context (hundreds of MB on each GPU). Where NVML
    cannot tell the free memory, torch could only with a context; so it is asked for the GPUs on which this process works already, and None stands for the rest.

    Args:
        torch: torch or a stand-in; None imports it when first asked.
        nvml: the driver's view.
        processor: the CPU.
    """

    def __init__(self, torch: Torch | None = None, nvml: Nvml | None = None, processor: Processor | None = None) -> None:
        self._given = torch
        self._nvml = nvml or Nvml()
        self._processor = processor or Processor()

    def cuda(self) -> Cuda:
        """Tells whether CUDA can be used."""
        count = self._count()
        return Cuda(available=count > 0, version=self._torch().version.cuda, driver=self._nvml.driver(), device_count=count)

    def devices(self) -> tuple[Device, ...]:
        """Describes every device: the CPU, then the GPUs in torch's order."""
        return (self._describe_cpu(), *(self._describe_gpu(index) for index in range(self._count())))

    def find(self, device: str) -> Device:
        """Describes one device.

        Raises:
            UnknownDevice: as `identify`.
        """
        known = self.identify(device)
        return self._describe_cpu() if known == "cpu" else self._describe_gpu(int(known.removeprefix("cuda:")))

    def identify(self, device: str) -> str:
        """Gives a device's own id for whatever names it: `cuda` stands for `cuda:0`.

        Raises:
            UnknownDevice: the machine has no such device; lists those that it has.
        """
        known = ("cpu", *(f"cuda:{index}" for index in range(self._count())))
        match = _ID.fullmatch(device)
        own = device if match is None or device == "cpu" else f"cuda:{match[1] or 0}"
        if own not in known:
            raise UnknownDevice.among(device, known)
        return own

    def torch_device(self, device: str) -> "torch.device":
        """Gives the device as torch knows it, index included.

        Raises:
            UnknownDevice: as `identify`.
        """
        import torch

        return torch.device(self.identify(device))

    def close(self) -> None:
        """Lets go of NVML; the inventory stays usable without it."""
        self._nvml.close()

    def _torch(self) -> Torch:
        if self._given is None:
            import torch

            self._given = cast("Torch", torch)
        return self._given

    def _count(self) -> int:
        cuda = self._torch().cuda
        if not cuda.is_available():
            return 0
        cuda.init()  # before that torch counts by NVML and can be wrong, as under MIG
        return cuda.device_count()

    def _describe_cpu(self) -> Device:
        return Device(
            id="cpu",
            type="cpu",
            name=self._processor.name,
            index=None,
            uuid=None,
            capability=None,
            processors=self._processor.count(),
            memory=self._processor.memory(),
            utilization_percent=None,
            temperature_celsius=None,
            pci_bus_id=None,
        )

    def _describe_gpu(self, index: int) -> Device:
        properties = self._torch().cuda.get_device_properties(index)
        uuid = str(properties.uuid)
        report = self._nvml.read(uuid)
        return Device(
            id=f"cuda:{index}",
            type="cuda",
            name=properties.name,
            index=index,
            uuid=report.uuid or uuid,
            capability=f"{properties.major}.{properties.minor}",
            processors=properties.multi_processor_count,
            memory=report.memory or Memory(properties.total_memory, self._free_bytes(index)),
            utilization_percent=report.utilization_percent,
            temperature_celsius=report.temperature_celsius,
            pci_bus_id=f"{properties.pci_domain_id:08X}:{properties.pci_bus_id:02X}:{properties.pci_device_id:02X}.0",
        )

    def _free_bytes(self, index: int) -> int | None:
        cuda = self._torch().cuda
        return cuda.mem_get_info(index)[0] if cuda.memory_reserved(index) else None
