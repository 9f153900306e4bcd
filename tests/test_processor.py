import os
import platform
from pathlib import Path

import pytest

from service.devices.device import Memory
from service.processor import Processor

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 1,000 MiB, half of it free, without control groups."""
    put(tmp_path, "proc/meminfo", "MemTotal:        1024000 kB\nMemFree:   1 kB\nMemAvailable:     512000 kB\nHugePages_Total:       0\n")
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Acme: One\nprocessor\t: 1\nmodel name\t: Acme Two\n")
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def limit(root: Path, group: str, memory: str = "max", used: int = 0, inactive: int = 0, cpu: str = "max 100000") -> None:
    put(root, f"sys/fs/cgroup{group}/memory.max", f"{memory}\n")
    put(root, f"sys/fs/cgroup{group}/memory.current", f"{used}\n")
    put(root, f"sys/fs/cgroup{group}/memory.stat", f"anon 5\ninactive_file {inactive}\n")
    put(root, f"sys/fs/cgroup{group}/cpu.max", f"{cpu}\n")


def test_the_models_name_is_the_kernels(root: Path) -> None:
    assert Processor(root).name == "Acme: One"


@pytest.mark.parametrize("text", [None, "processor : 0\nCPU implementer : 0x41\n", "model name :\n"])
def test_the_architecture_stands_in_for_a_name(root: Path, text: str | None) -> None:
    (root / "proc/cpuinfo").unlink()
    if text:
        put(root, "proc/cpuinfo", text)
    assert Processor(root).name == (platform.processor() or platform.machine())


def test_without_control_groups_the_machine_counts(root: Path) -> None:
    assert Processor(root).memory() == Memory(1000 * MIB, 500 * MIB)
    assert Processor(root).count() == len(os.sched_getaffinity(0))


def test_a_containers_limit_counts_and_file_cache_is_free(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/\n")
    limit(root, "", memory=str(200 * MIB), used=150 * MIB, inactive=30 * MIB)
    assert Processor(root).memory() == Memory(200 * MIB, 80 * MIB)


@pytest.mark.parametrize("memory", ["max", str(5000 * MIB)])
def test_a_limit_above_the_machine_changes_nothing(root: Path, memory: str) -> None:
    put(root, "proc/self/cgroup", "0::/\n")
    limit(root, "", memory=memory, used=10 * MIB)
    assert Processor(root).memory() == Memory(1000 * MIB, 500 * MIB)


def test_a_group_over_its_limit_has_nothing_free(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/\n")
    limit(root, "", memory=str(100 * MIB), used=101 * MIB)
    assert Processor(root).memory() == Memory(100 * MIB, 0)


def test_the_lowest_limit_on_the_way_up_counts(root: Path) -> None:
    put(root, "proc/self/cgroup", "9:memory:/elsewhere\n0::/lab.slice/job.scope\n")
    limit(root, "/lab.slice/job.scope", memory=str(400 * MIB), used=10 * MIB)
    limit(root, "/lab.slice", memory=str(300 * MIB), used=290 * MIB, cpu="100000 100000")
    limit(root, "/elsewhere", memory=str(1 * MIB))
    assert Processor(root).memory() == Memory(300 * MIB, 10 * MIB)
    assert Processor(root).count() == 1


def test_a_group_outside_the_containers_view_is_not_followed(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/../../other\n")
    limit(root, "", memory=str(200 * MIB))
    limit(root, "/../other", memory=str(1 * MIB))
    assert Processor(root).memory().total_bytes == 200 * MIB


@pytest.mark.parametrize(("quota", "count"), [("max 100000", 6), ("400000 100000", 4), ("350000 100000", 3), ("50000 100000", 1), ("900000 100000", 6)])
def test_a_quota_lowers_the_number_of_processors(root: Path, monkeypatch: pytest.MonkeyPatch, quota: str, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    put(root, "proc/self/cgroup", "0::/\n")
    limit(root, "", cpu=quota)
    assert Processor(root).count() == count


def test_this_machine_has_a_processor_and_memory() -> None:
    processor = Processor()
    memory = processor.memory()
    assert processor.name
    assert 1 <= processor.count() <= len(os.sched_getaffinity(0))
    assert memory.free_bytes is not None
    assert 0 < memory.free_bytes <= memory.total_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
