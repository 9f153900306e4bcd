"""The server in a container's shoes: not root, a read-only root, no capabilities, 64 MB of /dev/shm. No engine is needed: `unshare` and `mount` do it."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.reliability.conftest import Figures, TroubledServer, end, launch, loaders
from tests.waiting import wait_until

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child=SIGTERM")
_DROP = "exec unshare --user --map-user=1000 --map-group=1000 --keep-caps -- setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- "
TRAIN = "/datasets/shapes/splits/train"


def needed(*folders: Path) -> list[Path]:
    """List these folders, the project and Python with its packages, as far as they lie below /tmp; none inside another."""
    found = {each.absolute() for each in (*folders, ROOT, *map(Path, (sys.prefix, sys.base_prefix, *filter(None, sys.path))))}
    below = {each for each in found if each.is_relative_to("/tmp") and each.is_dir()}
    return sorted(each for each in below if below.isdisjoint(each.parents))


def sandbox(*folders: Path) -> tuple[str, ...]:
    """Gives a command that runs another one as user 1000, without any right, where nothing can be written but /tmp and 64 MB of /dev/shm.

    Args:
        *folders: to keep in sight below /tmp, beside what the project itself needs there; read-only like the rest.
    """
    kept = [shlex.quote(str(folder)) for folder in needed(*folders)]
    keep = "".join(f"mkdir -p /mnt{folder} && mount --bind {folder} /mnt{folder} && " for folder in kept)
    back = "".join(f"mkdir -p {folder} && mount --move /mnt{folder} {folder} && mount -o remount,bind,ro {folder} && " for folder in kept)
    script = (
        "set -e; mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /mnt && "
        f"{keep}"
        "mount -t tmpfs -o size=64m tmpfs /dev/shm && mount -t tmpfs -o size=64m,noexec,nosuid,nodev tmpfs /tmp && "
        f"{back}"
        "umount -l /mnt; for place in $(awk '$4 ~ /^rw/ {print $2}' /proc/mounts | grep -vE '^/(proc|sys|dev|tmp)(/|$)'); do"
        " mount -o remount,bind,ro $place 2>/dev/null || true; done; "
        'cd "$PWD" || cd /; '  # Else the working directory would be the one under the new /tmp, where it can be written.
        f'{_DROP}"$@"'
    )
    return (*_UNSHARE, "sh", "-c", script, "sandbox")


def refusal() -> str:
    """Says why there can be no sandbox here; "" where there can."""
    for tool in ("unshare", "setpriv", "mount", "awk"):
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    done = subprocess.run([*sandbox(), "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no namespaces can be had here: {done.stderr.strip()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TroubledServer]:
    """One server in a sandbox for all tests here; the last of them ends it."""
    if reason := refusal():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("data") / "shapes"
    shutil.copytree(ROOT / "data/shapes", root)
    server = launch(root, log=root.with_name("server.log"), prefix=sandbox(root))
    yield server
    end(server)


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def pythons(server: TroubledServer) -> list[int]:
    """Lists the processes of the server proper, not those that made the sandbox."""
    found = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in server.family()}
    return [pid for pid, command in found.items() if command.startswith(os.fsencode(sys.executable))]


def test_it_serves_in_a_sandbox(server: TroubledServer, figure: Figures) -> None:
    for suffix in ("png", "webp", "jpg", "json", "safetensors", "npz"):
        assert server.get(f"{TRAIN}/batches/0/0.{suffix}").status_code == 200
    large = server.get(f"{TRAIN}/batches/0/0.safetensors?batch_size=9&recipe=Resize([1024,1024])|ToTensor()")
    assert len(large.content) > 100 << 20, "more than /dev/shm holds"
    assert server.get(f"{TRAIN}/samples/0/image").content == (ROOT / "data/shapes/train/circle/circle-01.jpg").read_bytes()
    assert server.get("/health/ready").status_code == 200
    rights = [status_of(pid) for pid in pythons(server)]
    assert len(rights) >= 5, "the server, a fork server, a resource tracker, two workers"
    for each in rights:
        assert {each[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert each["NoNewPrivs"].strip() == "1"
    figure(
        "non-root, read-only root, no capabilities, 64 MB of /dev/shm", f"{len(rights)} processes without a right, {len(large.content) >> 20} MB in one batch"
    )


def test_the_sandbox_is_one(dataset_folder: Path) -> None:
    if reason := refusal():
        pytest.skip(reason)
    probe = (
        "import os, pathlib, shutil\n"
        "def can_write(place):\n"
        "    try: pathlib.Path(place, 'probe').write_text('x')\n"
        "    except OSError: return False\n"
        "    return True\n"
        f"places = ['/', '/usr', '/var/tmp', {str(Path(__file__).parent)!r}, {sys.prefix!r}, {str(dataset_folder)!r}, os.path.expanduser('~')]\n"
        "print(os.getuid(), [each for each in places if can_write(each)], can_write('/tmp'), shutil.disk_usage('/dev/shm').total >> 20)"
    )
    done = subprocess.run([*sandbox(dataset_folder), sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert re.fullmatch(r"1000 \[\] True 64\n", done.stdout), done.stdout + done.stderr


def test_a_worker_that_dies_there_is_replaced(server: TroubledServer) -> None:
    assert server.get(f"{TRAIN}/batches/0/0.png").status_code == 200
    inside = {int(status_of(pid)["NSpid"].split()[1]): pid for pid in pythons(server)}
    os.kill(inside[loaders(server)[0]["pids"][0]], signal.SIGKILL)
    assert server.get(f"{TRAIN}/batches/1/0.png").status_code == 200
    wait_until(lambda: sum(each["restarts"] for each in loaders(server)) == 1)


def test_told_to_end_it_ends(server: TroubledServer) -> None:
    (first,) = [pid for pid in pythons(server) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    os.kill(first, signal.SIGTERM)
    assert server.process.wait(60) == 0
