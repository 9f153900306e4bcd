import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from service.devices.device import Memory
from service.devices.nvml import Nvml, Report


def test_it_starts_once_when_first_asked(machine: Callable[..., Any], gpu: Any) -> None:
    pynvml = machine(gpu("aaaa")).pynvml
    nvml = Nvml(pynvml)
    assert pynvml.starts == 0
    barrier = Barrier(8)

    def ask(_: int) -> tuple[str | None, Report]:
        barrier.wait()
        return nvml.driver(), nvml.read("aaaa")

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(8)))
    assert len(answers) == 1
    assert answers.pop()[1].temperature_celsius == 41
    assert pynvml.starts == 1


@pytest.mark.parametrize("text", [str, str.encode])
def test_older_packages_answer_bytes(machine: Callable[..., Any], gpu: Any, text: Callable[[str], str | bytes]) -> None:
    nvml = Nvml(machine(gpu("aaaa"), text=text).pynvml)
    assert nvml.driver() == "580.95.05"
    assert nvml.read("aaaa").uuid == "GPU-aaaa"


def test_a_missing_driver_is_asked_for_once(machine: Callable[..., Any], gpu: Any) -> None:
    pynvml = machine(gpu("aaaa"), refuses=("nvmlInit",)).pynvml
    nvml = Nvml(pynvml)
    assert (nvml.driver(), nvml.read("aaaa")) == (None, Report())
    pynvml.refuses = ()
    assert (nvml.driver(), pynvml.starts) == (None, 0)
    nvml.close()
    assert pynvml.ends == 0


def test_a_missing_package_gives_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nvml = Nvml()
    assert (nvml.driver(), nvml.read("aaaa")) == (None, Report())
    nvml.close()


def test_the_installed_package_answers_whatever_this_machine_has() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
        expected = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        expected = None
    nvml = Nvml()
    assert nvml.driver() == expected
    assert nvml.read("00000000-0000-0000-0000-000000000000") == Report()
    nvml.close()


def test_a_gpu_that_nvml_does_not_know_gives_nulls(machine: Callable[..., Any], gpu: Any) -> None:
    assert Nvml(machine(gpu("aaaa")).pynvml).read("bbbb") == Report()


def test_a_lost_gpu_gives_nulls(machine: Callable[..., Any], gpu: Any) -> None:
    pynvml = machine(gpu("aaaa")).pynvml
    nvml = Nvml(pynvml)
    assert nvml.read("aaaa") == Report("GPU-aaaa", Memory(80 << 30, 60 << 30), 7, 41)
    pynvml.refuses = tuple(name for name in dir(pynvml) if name.startswith("nvmlDevice"))
    assert nvml.read("aaaa") == Report()


def test_a_mig_instance_without_a_chip_has_no_temperature(machine: Callable[..., Any], gpu: Any) -> None:
    instance = gpu("dddd", chip=gpu("cccc"))
    pynvml = machine(instance, refuses=("nvmlDeviceGetDeviceHandleFromMigDeviceHandle",)).pynvml
    assert Nvml(pynvml).read("dddd") == Report("MIG-dddd", Memory(80 << 30, 60 << 30), None, None)


def test_closing_ends_it_once_and_for_all(machine: Callable[..., Any], gpu: Any) -> None:
    pynvml = machine(gpu("aaaa")).pynvml
    nvml = Nvml(pynvml)
    nvml.driver()
    nvml.close()
    nvml.close()
    assert (nvml.driver(), nvml.read("aaaa"), pynvml.starts, pynvml.ends) == (None, Report(), 1, 1)


def test_one_that_was_never_asked_has_nothing_to_end(machine: Callable[..., Any]) -> None:
    pynvml = machine().pynvml
    nvml = Nvml(pynvml)
    nvml.close()
    assert (nvml.driver(), pynvml.starts, pynvml.ends) == (None, 0, 0)


def test_a_shutdown_that_fails_is_no_error(machine: Callable[..., Any]) -> None:
    pynvml = machine(refuses=("nvmlShutdown",)).pynvml
    nvml = Nvml(pynvml)
    assert nvml.driver() == "580.95.05"
    nvml.close()
    assert nvml.driver() is None
