"""The service under limits on memory: of a control group, and of address space (`ulimit -v`, as batch systems set it)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.reliability.conftest import Figures, StartServer, loaders
from tests.waiting import wait_until

GIB = 1 << 30
_LIMIT_BYTES = 5 * GIB // 4
_PROBE = "import service.app; from service.processor import Processor; print(Processor()._table('proc/self/status')['VmSize'])"


@pytest.fixture(scope="module")
def mapped_bytes() -> int:
    """Address space that the server takes before it has opened a loader: most of it is PyTorch's libraries, which differ by variant."""
    return int(subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def test_both_splits_are_served_under_a_limit_of_address_space(start_server: StartServer, mapped_bytes: int, dataset_folder: Path) -> None:
    server = start_server(workers=1, address_space_bytes=mapped_bytes + 5 * GIB // 2, BATCHLENS_ARENA_BYTES=str(64 * GIB), BATCHLENS_MAX_LOADERS="2")
    for split in ("train", "val", "train", "val"):
        assert server.get(f"/datasets/{dataset_folder.name}/splits/{split}/batches/0/0.json").status_code == 200
    assert server.get("/health/ready").status_code == 200
    assert len(loaders(server)) == 2
    log = server.log.read_text()
    assert "GiB of address space for each process" in log
    assert "Traceback" not in log


def test_too_little_address_space_is_told_at_the_start(mapped_bytes: int) -> None:
    limit = mapped_bytes + GIB
    command = ["prlimit", f"--as={limit}", sys.executable, "-m", "service", "serve", "--port", "0", "--device", "cpu", "data/shapes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "BATCHLENS_CONFIG": os.devnull}, timeout=120)
    assert done.returncode != 0
    assert re.search(r"A process may have \d+\.\d\d GiB of address space \(ulimit -v\);\s+the\s+service\s+needs", done.stderr)
    assert "Traceback" not in done.stderr


def own_group() -> Path | None:
    """Finds this process's memory control group; None where there is none."""
    base = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for found in (base / "memory" / path.lstrip("/"), base / "memory") if "memory" in controllers.split(",") else ():
            if (found / "memory.limit_in_bytes").exists():
                return found
        if not controllers and (base / path.lstrip("/") / "cgroup.controllers").exists():
            return base / path.lstrip("/")
    return None


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group below this process's own, with a limit; skips where none can be made."""
    own = own_group()
    if own is None:
        pytest.skip("there is no control group for memory here")
    made = own / f"batchlens-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as exc:
        pytest.skip(f"no control group can be made here: {exc}")
    try:
        (made / ("memory.max" if (made / "memory.max").exists() else "memory.limit_in_bytes")).write_text(str(_LIMIT_BYTES))
        yield made
    except OSError as exc:
        pytest.skip(f"no control group can be limited here: {exc}")
    finally:
        wait_until(lambda: _remove(made))


def _remove(group: Path) -> bool:
    with suppress(OSError):  # Processes in it are still ending.
        group.rmdir()
    return not group.exists()


def kills(group: Path) -> int:
    """Counts the processes that the kernel has killed for want of memory."""
    text = (group / "memory.events" if (group / "memory.events").exists() else group / "memory.oom_control").read_text()
    return int(re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)[1])


def most_bytes(group: Path) -> int:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        with suppress(OSError):
            return int((group / name).read_text())
    return 0


def test_in_a_limited_control_group_everything_stays_within_the_limit(group: Path, start_server: StartServer, figure: Figures) -> None:
    enter = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "limited")
    server = start_server(ROOT / "data/shapes", workers=1, prefix=enter)
    split = "/datasets/shapes/splits"
    for epoch in range(6):
        for name in ("train", "val"):
            assert server.get(f"{split}/{name}/batches/{epoch}/0.safetensors?batch_size=16").status_code == 200
    large = server.get(f"{split}/train/batches/0/0.safetensors?batch_size=40&recipe=Resize([1024,1024])|ToTensor()")
    assert (large.status_code, large.json()["code"]) == (422, "batch-too-large"), "a batch of 503 MB"
    assert server.get("/health/ready").status_code == 200
    assert sum(each["restarts"] for each in loaders(server)) == 0
    assert kills(group) == 0
    assert "Of 1.25 GiB of memory" in server.log.read_text()
    figure("under a memory limit of 1.25 GiB", f"{most_bytes(group) / GIB:.2f} GiB taken at the most, nobody killed")
