import os
import platform
import subprocess
import sys
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


# cgroup v1, alone or beside v2


def limit_v1(root: Path, group: str, memory: int = 2**63 - 4096, used: int = 0, inactive: int = 0, quota: int = -1, folder: str = "cpu,cpuacct") -> None:
    put(root, f"sys/fs/cgroup/memory{group}/memory.limit_in_bytes", f"{memory}\n")
    put(root, f"sys/fs/cgroup/memory{group}/memory.usage_in_bytes", f"{used}\n")
    put(root, f"sys/fs/cgroup/memory{group}/memory.stat", f"cache 9\ninactive_file 1\ntotal_inactive_file {inactive}\n")
    put(root, f"sys/fs/cgroup/{folder}{group}/cpu.cfs_quota_us", f"{quota}\n")
    put(root, f"sys/fs/cgroup/{folder}{group}/cpu.cfs_period_us", "100000\n")


V1 = "12:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/\n"


@pytest.mark.parametrize("groups", [V1, V1 + "0::/\n"], ids=["v1", "hybrid"])
@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_limits_of_cgroup_v1_count(root: Path, monkeypatch: pytest.MonkeyPatch, groups: str, folder: str) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    put(root, "proc/self/cgroup", groups)
    limit_v1(root, "/job", memory=200 * MIB, used=150 * MIB, inactive=30 * MIB, quota=250_000, folder=folder)
    assert Processor(root).memory() == Memory(200 * MIB, 80 * MIB)
    assert Processor(root).count() == 2


def test_a_container_of_cgroup_v1_sees_its_own_group_as_the_root(root: Path) -> None:
    put(root, "proc/self/cgroup", "4:memory:/docker/0123abcd\n2:cpu:/docker/0123abcd\n")
    limit_v1(root, "", memory=300 * MIB, used=290 * MIB, quota=100_000, folder="cpu")
    assert Processor(root).memory() == Memory(300 * MIB, 10 * MIB)
    assert Processor(root).count() == 1


def test_the_lowest_limit_on_the_way_up_counts_in_cgroup_v1_too(root: Path) -> None:
    put(root, "proc/self/cgroup", "4:memory:/lab/job\n")
    limit_v1(root, "/lab/job", memory=400 * MIB, used=10 * MIB)
    limit_v1(root, "/lab", memory=300 * MIB, used=295 * MIB)
    assert Processor(root).memory() == Memory(300 * MIB, 5 * MIB)


def test_no_limit_in_cgroup_v1_is_a_large_number(root: Path) -> None:
    put(root, "proc/self/cgroup", V1)
    limit_v1(root, "/job", used=10 * MIB)
    assert Processor(root).memory() == Memory(1000 * MIB, 500 * MIB)
    assert Processor(root).count() == len(os.sched_getaffinity(0))


def test_beside_cgroup_v1_the_unified_hierarchy_is_read_where_it_is_mounted(root: Path) -> None:
    put(root, "proc/self/cgroup", "1:name=systemd:/\n0::/job\n")
    limit(root, "/unified/job", memory=str(100 * MIB), used=1 * MIB)
    assert Processor(root).memory() == Memory(100 * MIB, 99 * MIB)


# The address space


def limits_file(soft: str) -> str:
    return f"Limit                     Soft Limit           Hard Limit           Units     \nMax address space         {soft:<20} unlimited            bytes\n"


def test_a_limit_of_address_space_is_read_with_what_is_left_of_it(root: Path) -> None:
    put(root, "proc/self/limits", limits_file(str(700 * MIB)))
    put(root, "proc/self/status", "Name:\tpython\nVmSize:\t  102400 kB\nRssAnon:\t    2048 kB\nThreads:\t3\n")
    assert Processor(root).address_space() == Memory(700 * MIB, 600 * MIB)
    assert Processor(root).private_bytes() == 2 * MIB


@pytest.mark.parametrize("text", [None, limits_file("unlimited")])
def test_without_a_limit_of_address_space_there_is_none(root: Path, text: str | None) -> None:
    if text:
        put(root, "proc/self/limits", text)
    assert Processor(root).address_space() is None


def test_the_kernels_own_words_are_understood() -> None:
    probe = "from service.processor import Processor; space = Processor().address_space(); print(space.total_bytes, 0 < space.free_bytes < space.total_bytes)"
    done = subprocess.run(["prlimit", f"--as={2 << 30}", sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.stdout == f"{2 << 30} True\n", done.stderr
    assert Processor().private_bytes() > MIB
