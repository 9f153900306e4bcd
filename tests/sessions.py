"""Processes in a session of their own: who is in it, and how to end all of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]

StartCommand = Callable[..., "subprocess.Popen[str]"]


def start_in_session(*arguments: str, stderr: Path) -> "subprocess.Popen[str]":
    """Starts `batchlens` with arguments, its output in a pipe and its messages in a file."""
    with stderr.open("w") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "service", *arguments], stdout=subprocess.PIPE, stderr=stream, text=True, cwd=ROOT, start_new_session=True
        )


def session_of(leader: int) -> set[int]:
    """Lists the living processes of a session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.add(int(path.parent.name))
    return found


def sharers_of_memory(leader: int) -> set[int]:
    """Lists the processes of a session that have mapped a loader's shared memory: the one that serves, and its workers."""
    found = set()
    for pid in session_of(leader):
        with suppress(OSError):
            if "memfd:batchlens" in Path(f"/proc/{pid}/maps").read_text():
                found.add(pid)
    return found


def end_session(process: "subprocess.Popen[str]") -> None:
    """Kills a process and whatever is left of its session."""
    for pid in session_of(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
