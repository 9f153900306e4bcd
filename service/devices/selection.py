"""Which device renders."""

import threading
from collections.abc import Callable

from service.devices.inventory import Device, Inventory


class Selection:
    """Holds the id of the current device. Thread-safe: the id is one reference, replaced whole.

    Choosing calls no `torch.cuda.set_device`: the current CUDA device belongs to a thread, so the thread that executes on a device sets it.

    Args:
        inventory: the machine's devices.
        wanted: `auto` for the first GPU or, without one, the CPU; else a device's id.

    Raises:
        UnknownDevice: the machine has no such device.
    """

    def __init__(self, inventory: Inventory, wanted: str = "auto") -> None:
        self._inventory = inventory
        self._lock = threading.Lock()
        if wanted == "auto":
            wanted = "cuda:0" if inventory.cuda().available else "cpu"
        self._id = inventory.identify(wanted)

    @property
    def id(self) -> str:
        """The current device's id; costs nothing."""
        return self._id

    @property
    def kind(self) -> str:
        """The current device's kind, `cpu` or `cuda`; costs nothing."""
        return self._id.partition(":")[0]

    @property
    def current(self) -> Device:
        """The current device, described as it is now."""
        return self._inventory.find(self._id)

    def choose(self, device: str, move: Callable[[str], None] = lambda _: None) -> Device:
        """Makes a device the current one and describes it; one that is current already stays untouched.

        Args:
            device: what names it.
            move: takes the work to the device with this id, one move at a time; what it raises leaves the current device as it was.

        Raises:
            UnknownDevice: the machine has no such device; the current one stays.
        """
        with self._lock:
            found = self._inventory.find(device)
            if found.id != self._id:  # A move that leads nowhere would still empty the loaders' memory.
                move(found.id)
                self._id = found.id
        return found
