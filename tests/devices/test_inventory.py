import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch

from service.devices.inventory import Cuda, Inventory, Memory, TorchCuda
from service.devices.nvml import Nvml
from service.errors import UnknownDevice

GIB = 1 << 30

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_without_a_gpu_there_is_the_cpu(machine: Callable[..., Any]) -> None:
    inventory = machine(refuses=("nvmlInit",)).inventory
    assert inventory.cuda() == Cuda(available=False, version="13.0", driver=None, device_count=0)
    (cpu,) = inventory.devices()
    assert (cpu.id, cpu.type, cpu.index, cpu.uuid, cpu.capability) == ("cpu", "cpu", None, None, None)
    assert cpu.name
    assert cpu.processors >= 1
    assert 0 < cpu.memory.free_bytes <= cpu.memory.total_bytes


def test_a_build_of_torch_without_cuda_has_no_version(machine: Callable[..., Any]) -> None:
    assert machine(refuses=("nvmlInit",), version=None).inventory.cuda() == Cuda(available=False, version=None, driver=None, device_count=0)


def test_a_driver_that_torch_cannot_use_is_still_reported(machine: Callable[..., Any]) -> None:
    assert machine().inventory.cuda() == Cuda(available=False, version="13.0", driver="580.95.05", device_count=0)


def test_gpus_stand_in_torchs_order_with_nvmls_facts(pair: Any) -> None:
    cpu, first, second = pair.inventory.devices()
    assert (cpu.id, first.id, second.id) == ("cpu", "cuda:0", "cuda:1")
    assert asdict(first) == {
        "id": "cuda:0",
        "type": "cuda",
        "name": "NVIDIA H100",
        "index": 0,
        "uuid": "GPU-bbbbbbbb-0000-0000-0000-000000000000",
        "capability": "9.0",
        "processors": 132,
        "memory": {"total_bytes": 80 * GIB, "free_bytes": 79 * GIB},
        "utilization_percent": 0,
        "temperature_celsius": 30,
        "pci_bus_id": "00000000:3B:00.0",
    }
    assert (second.name, second.uuid, second.pci_bus_id) == ("NVIDIA RTX 4000", "GPU-aaaaaaaa-0000-0000-0000-000000000000", "00000000:C1:00.0")
    assert (second.memory, second.utilization_percent, second.temperature_celsius) == (Memory(20 * GIB, 3 * GIB), 99, 70)
    assert pair.inventory.cuda() == Cuda(available=True, version="13.0", driver="580.95.05", device_count=2)


def test_a_report_is_fresh_and_makes_no_context(pair: Any) -> None:
    pair.inventory.devices()
    pair.cuda.gpus[0].free = GIB
    assert pair.inventory.find("cuda:0").memory.free_bytes == GIB
    assert pair.cuda.contexts == []


def test_a_subset_of_the_gpus_is_matched(machine: Callable[..., Any], gpu: Any) -> None:
    others = [gpu(f"{number}", temperature=number) for number in range(20, 24)]
    inventory = machine(others[2], nvml=others).inventory  # CUDA_VISIBLE_DEVICES=2
    assert [device.temperature_celsius for device in inventory.devices()[1:]] == [22]


def test_without_nvml_torch_tells_what_it_can_without_a_context(machine: Callable[..., Any], gpu: Any) -> None:
    built = machine(gpu("aaaa", reserved=GIB), gpu("bbbb"), refuses=("nvmlInit",))
    assert built.inventory.cuda() == Cuda(available=True, version="13.0", driver=None, device_count=2)
    _, used, idle = built.inventory.devices()
    assert (used.uuid, used.temperature_celsius, used.utilization_percent) == ("aaaa", None, None)
    assert used.memory == Memory(80 * GIB - 1, 60 * GIB - 1)
    assert idle.memory == Memory(80 * GIB - 1, None)
    assert built.cuda.contexts == [0]


@pytest.mark.parametrize(
    ("refused", "field"),
    [("nvmlDeviceGetTemperature", "temperature_celsius"), ("nvmlDeviceGetUtilizationRates", "utilization_percent"), ("nvmlSystemGetDriverVersion", None)],
)
def test_one_refused_field_is_null_and_the_others_stay(machine: Callable[..., Any], gpu: Any, refused: str, field: str | None) -> None:
    whole, part = (machine(gpu("aaaa"), refuses=refuses).inventory for refuses in ((), (refused,)))
    expected = asdict(whole.find("cuda:0"))
    if field:
        assert expected[field] is not None
        expected[field] = None
    assert asdict(part.find("cuda:0")) == expected
    assert part.cuda().driver == ("580.95.05" if field else None)


def test_refused_memory_falls_back_to_torch(machine: Callable[..., Any], gpu: Any) -> None:
    device = machine(gpu("aaaa"), refuses=("nvmlDeviceGetMemoryInfo",)).inventory.find("cuda:0")
    assert device.memory == Memory(80 * GIB - 1, None)
    assert device.temperature_celsius == 41


def test_a_mig_instance_has_its_own_memory_and_its_gpus_temperature(machine: Callable[..., Any], gpu: Any) -> None:
    chip = gpu("cccc", temperature=55)
    instance = gpu("dddd", "NVIDIA H100 MIG 1g.10gb", 10 * GIB, 9 * GIB, temperature=-1, chip=chip)
    device = machine(instance, nvml=[chip, instance]).inventory.find("cuda:0")
    assert (device.uuid, device.name) == ("MIG-dddd", "NVIDIA H100 MIG 1g.10gb")
    assert (device.memory, device.temperature_celsius, device.utilization_percent) == (Memory(10 * GIB, 9 * GIB), 55, None)


@pytest.mark.parametrize(("given", "own"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")])
def test_names_of_devices_are_normalised(pair: Any, given: str, own: str) -> None:
    assert pair.inventory.identify(given) == pair.inventory.find(given).id == own
    assert pair.inventory.torch_device(given) == torch.device(own)


@pytest.mark.parametrize(
    "name",
    ["", "auto", "CPU", "cpu:0", "cuda:", "cuda:2", "cuda:-1", "cuda:00", "cuda:01", "cuda:١", "cuda:1 ", " cpu", "cpu\n", "mps", "cuda:" + "9" * 5000],  # noqa: RUF001
)
def test_unknown_devices_are_refused_with_the_known_ones(pair: Any, name: str) -> None:
    for refuse in (pair.inventory.identify, pair.inventory.find, pair.inventory.torch_device):
        with pytest.raises(UnknownDevice, match=r"Known: cpu, cuda:0, cuda:1\.$") as caught:
            refuse(name)
        assert caught.value.facts == {"known": ["cpu", "cuda:0", "cuda:1"]}


def test_a_closed_inventory_still_answers(pair: Any) -> None:
    pair.inventory.close()
    assert pair.inventory.find("cuda:1").temperature_celsius is None
    assert pair.inventory.cuda().driver is None


def test_importing_loads_neither_torch_nor_nvml() -> None:
    code = "import sys, service.devices.selection; print({'torch', 'pynvml'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_stand_ins_have_the_libraries_names(pair: Any) -> None:
    pynvml = pytest.importorskip("pynvml")
    for library, stand_in in ((torch.cuda, TorchCuda), (pynvml, type(pair.pynvml))):
        names = [name for name in vars(stand_in) if not name.startswith("_")]
        assert names
        assert [name for name in names if not hasattr(library, name)] == []


def test_this_machine_is_reported_as_torch_sees_it() -> None:
    inventory = Inventory()
    cuda = inventory.cuda()
    assert (cuda.available, cuda.version, cuda.device_count) == (torch.cuda.is_available(), torch.version.cuda, torch.cuda.device_count())
    devices = inventory.devices()
    assert [device.id for device in devices] == ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    assert json.loads(json.dumps([asdict(device) for device in devices])) == [asdict(device) for device in devices]
    inventory.close()


@pytest.mark.gpu
@needs_gpu
def test_real_gpus_are_described_as_torch_describes_them() -> None:
    inventory = Inventory(nvml=Nvml())
    for index, device in enumerate(inventory.devices()[1:]):
        properties = torch.cuda.get_device_properties(index)
        assert (device.index, device.name, device.processors) == (index, properties.name, properties.multi_processor_count)
        assert device.capability == ".".join(map(str, torch.cuda.get_device_capability(index)))
        assert device.uuid is not None
        assert device.uuid.endswith(str(properties.uuid))
        assert device.memory.total_bytes == pytest.approx(properties.total_memory, rel=0.05)
    inventory.close()


@pytest.mark.gpu
@needs_gpu
def test_a_report_makes_no_context_on_real_gpus() -> None:
    code = (
        "import torch; from service.devices.inventory import Inventory; inventory = Inventory(); inventory.cuda(); inventory.devices();"
        "print([torch._C._cuda_hasPrimaryContext(index) for index in range(torch.cuda.device_count())])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed.lower()) == [False] * torch.cuda.device_count()
