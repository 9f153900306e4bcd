"""The server's own process retains little freed memory; its children, and an operator's own choice, are left alone."""

import os
import subprocess
import sys

import pytest

NAMES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
PROGRAM = """
import os, pathlib, subprocess, sys
from service.malloc import restart_with_bounded_malloc
restart_with_bounded_malloc()
read = lambda pid: pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\\0")
child = subprocess.Popen(["sleep", "60"])
for each in (os.getpid(), child.pid):
    print(*sorted(line.decode() for line in read(each) if line.startswith(b"MALLOC_")), sep=",")
child.kill()
print(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("own", "in_server", "in_children"),
    [
        ({}, ",".join(f"{name}=4194304" for name in NAMES), ""),
        ({NAMES[0]: "65536"}, f"{NAMES[0]}=65536", f"{NAMES[0]}=65536"),
    ],
)
def test_thresholds_hold_for_the_server_alone(own: dict[str, str], in_server: str, in_children: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | own
    command = [sys.executable, "-c", PROGRAM, "an argument", "--flag"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed.splitlines() == [in_server, in_children, "['an argument', '--flag']"]
