import os
import subprocess
import sys
from pathlib import Path

from service.tuning.family import Family

MIB = 1 << 20
HOLD = "import mmap, os, sys; memory = mmap.mmap(int(sys.argv[1]), 0); [memory[at] for at in range(0, len(memory), 4096)]; print('there', flush=True); input()"


def write_process(proc: Path, pid: int, parent: int, pss_kib: int | None, pages: int = 0, name: str = "x") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0\n")
    (folder / "statm").write_text(f"9999 {pages} 1 1 0 1 0\n")
    if pss_kib is not None:
        (folder / "smaps_rollup").write_text(f"00 ---p 00:00 0 [rollup]\nRss: 999999 kB\nPss:     {pss_kib} kB\nPss_Dirty: 5 kB\n")


class TestFamily:
    def test_adds_up_a_process_and_what_descends_from_it(self, tmp_path: Path):
        for pid, parent in {1: 0, 10: 1, 11: 10, 12: 11, 20: 1}.items():
            write_process(tmp_path, pid, parent, 100 + pid)
        (tmp_path / "meminfo").touch()
        family = Family(10, tmp_path)
        assert family.pids() == {10, 11, 12}
        assert family.memory_bytes() == (110 + 111 + 112) * 1024

    def test_is_not_misled_by_names(self, tmp_path: Path):
        write_process(tmp_path, 10, 1, 1)
        write_process(tmp_path, 11, 10, 2, name="a) S 7 (b")
        assert Family(10, tmp_path).pids() == {10, 11}

    def test_takes_resident_pages_where_the_kernel_tells_no_more(self, tmp_path: Path):
        write_process(tmp_path, 10, 1, None, pages=3)
        assert Family(10, tmp_path).memory_bytes() == 3 * os.sysconf("SC_PAGE_SIZE")

    def test_of_one_that_is_gone_is_nothing(self, tmp_path: Path):
        assert Family(10, tmp_path).pids() == set()
        assert Family(10, tmp_path).memory_bytes() == 0

    def test_counts_memory_once_that_several_processes_map(self):
        descriptor = os.memfd_create("shared")
        os.ftruncate(descriptor, 64 * MIB)
        os.pwrite(descriptor, b"x" * (64 * MIB), 0)
        before = Family().memory_bytes()
        command = [sys.executable, "-c", HOLD, str(descriptor)]
        children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor]) for _ in range(2)]
        try:
            for child in children:
                assert child.stdout is not None
                assert child.stdout.readline() == b"there\n"
            assert {child.pid for child in children} <= Family().pids()
            assert 64 * MIB <= Family().memory_bytes() - before < 120 * MIB
        finally:
            for child in children:
                child.communicate(b"\n")
            os.close(descriptor)
        assert not {child.pid for child in children} & Family().pids()
