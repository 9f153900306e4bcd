"""Processes in a session of their own: who is in it, and how to end all of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]

StartCommand = Callable[..., "subprocess.Popen[str]"]


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


@contextmanager
def commands(*beginning: str, stderr: Path) -> Iterator[StartCommand]:
    """Starts `batchlens` with these arguments and more, each time in a session of its own; whatever is left of those in the end is killed.

    Args:
        *beginning: of every command line.
        stderr: where the messages of the last one go; what it prints goes to a pipe.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "service", *beginning, *arguments]
        with stderr.open("w") as stream:
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True, cwd=ROOT, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        end_session(process)
