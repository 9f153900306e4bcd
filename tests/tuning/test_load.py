import io
from pathlib import Path

import pytest
from rich.console import Console

from service.processor import Memory
from service.tuning.family import Family
from service.tuning.load import Load
from service.tuning.memory_bound import MemoryBound
from service.tuning.report import Report
from service.tuning.subject import Subject
from service.tuning.trial import Pace


class Machine:
    """What the kernel of a machine with four processors says; this process is 10, its worker 11."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.spent = [[0] * 10 for _ in range(4)]
        self.own = {10: [0, 0, 0, 0], 11: [0, 0, 0, 0]}
        self.write()

    def write(self) -> None:
        lines = [" ".join(["cpu", *map(str, map(sum, zip(*self.spent, strict=True)))])]
        lines += [f"cpu{number} {' '.join(map(str, spent))}" for number, spent in enumerate(self.spent)]
        (self.proc / "stat").write_text("\n".join([*lines, "ctxt 5"]) + "\n")
        for pid, ticks in self.own.items():
            (self.proc / str(pid)).mkdir(exist_ok=True)
            (self.proc / str(pid) / "stat").write_text(f"{pid} (a) b) S {1 if pid == 10 else 10} 1 1 0 -1 0 1 2 3 4 {' '.join(map(str, ticks))} 20 0\n")

    def work(self, cpu: int, user: int = 0, system: int = 0, idle: int = 0, waiting: int = 0, interrupts: int = 0, stolen: int = 0) -> None:
        self.spent[cpu] = [a + b for a, b in zip(self.spent[cpu], (user, 0, system, idle, waiting, interrupts, 0, stolen, 0, 0), strict=True)]
        self.write()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def load_of(machine: Machine, processors: int = 2, cpus: tuple[int, ...] = (0, 1)) -> Load:
    return Load(Family(10, machine.proc), processors, cpus, machine.proc)


def test_what_others_do_on_the_own_processors_counts(machine: Machine):
    load = load_of(machine)
    start = load.read()
    machine.own = {10: [10, 5, 20, 5], 11: [40, 0, 0, 0]}  # 80 ticks, 25 of them by workers that are gone
    machine.work(0, user=70, system=20, idle=10)
    machine.work(1, user=20, stolen=30, idle=20, waiting=20, interrupts=10)
    machine.work(2, user=100)
    assert load.since(start) == pytest.approx((90 + 50 - 80) / 100)


def test_a_quiet_machine_has_nothing_else_to_do(machine: Machine):
    load = load_of(machine)
    start = load.read()
    machine.own[11] = [151, 0, 0, 0]  # Ticks are not exact.
    machine.work(0, user=100)
    machine.work(1, user=50, idle=50)
    assert load.since(start) == 0


@pytest.mark.parametrize(("before", "during", "is_busy"), [(None, None, False), (0.1, 0.19, False), (0.25, 0.0, True), (0.0, 1.5, True), (None, 0.3, True)])
def test_it_is_busy_if_others_take_more_than_a_tenth(before: float | None, during: float | None, is_busy: bool, machine: Machine):
    load = load_of(machine)
    load.before, load.during = before, during
    assert load.is_busy is is_busy


def test_others_may_have_the_processors_that_this_process_must_not_use_up(machine: Machine):
    load = load_of(machine, processors=1, cpus=(0, 1, 2, 3))
    load.during = 3.05
    assert not load.is_busy
    load.during = 3.2
    assert load.is_busy


def test_a_kernel_that_does_not_tell_says_nothing_against_it(machine: Machine):
    (machine.proc / "stat").unlink()
    load = load_of(machine)
    assert load.read() is None
    assert load.since(None) is None
    assert not load.is_busy


def test_this_kernel_tells():
    load = Load(Family(), 1)
    ticks = load.read()
    assert ticks is not None
    assert 0 < ticks.own <= ticks.busy
    assert ticks.busy <= ticks.elapsed * 1024


def test_a_report_says_that_its_figures_are_uncertain(subject: Subject, machine: Machine):
    load = load_of(machine)
    report = Report(subject, Pace(0.1), MemoryBound.of(Memory(1, 1), 0, fraction=0.5), 2, [], load)
    assert "ncertain" not in _text(report)
    assert report.to_json()["is_uncertain"] is False
    load.before, load.during = 0.04, 1.26
    assert "Uncertain: other programs kept 0.0 processors busy before, and 1.3 while this was measured." in _text(report)
    assert report.to_json()["is_uncertain"] is True
    assert report.to_json()["others"] == {"processors_before": 0.04, "processors_during": 1.26}


def _text(report: Report) -> str:
    text = io.StringIO()
    Console(width=200, file=text).print(report.to_table())
    return text.getvalue()
