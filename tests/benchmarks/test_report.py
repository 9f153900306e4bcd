"""The parts of the benchmarks that only compute."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.benchmarks import plot, report
from tests.benchmarks.comparison import OWN, Comparison
from tests.benchmarks.comparison import Row as ComparisonRow
from tests.benchmarks.contender import Run, total_rate
from tests.benchmarks.effort import FULL
from tests.benchmarks.ground import ROOT
from tests.benchmarks.machine import Machine
from tests.benchmarks.plans import Row as PlanRow
from tests.benchmarks.results import Results
from tests.benchmarks.spread import Spread, percentile
from tests.benchmarks.throughput import Case
from tests.benchmarks.throughput import Row as ThroughputRow

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""

BEFORE, AFTER = "# Title\n\n## Speed\n\n", "\n\n## Next\n"


@pytest.fixture
def results() -> Results:
    names = [(f"{OWN}, RemoteLoader", "workers=2", 900.0), ("tutorial's loader", "workers=2", 300.0)]
    rows = tuple(
        ComparisonRow(name, settings, "", Spread(1, 1, 1, 1), Spread(rate, rate - 5, rate + 5, 3), Spread.of([rate / 300])) for name, settings, rate in names
    )
    return Results(
        Machine("A | B <fast>", 2, 8 << 30, "AVX2", {"Python": "3.11"}, "2026-01-01", 0.5),
        "2 photos",
        FULL,
        comparison=Comparison(rows, {"DALI": "no module"}),
        throughput=tuple(ThroughputRow(Case(workers, clients, 64), Spread.of([100.0 * clients])) for workers in (1, 2) for clients in (1, 2)),
        plans=tuple(PlanRow(10**exponent, Spread.of([1e-4, 2e-4]), 1024) for exponent in (3, 4)),
    )


class TestInsert:
    def test_replaces_only_what_stands_between_the_markers(self):
        text = f"{BEFORE}{report.BEGIN}\nold\n{report.END}{AFTER}"
        assert report.insert(text, "new\n") == f"{BEFORE}{report.BEGIN}\nnew\n{report.END}{AFTER}"

    @unhurried
    @given(first=st.text(), second=st.text())
    def test_gives_the_same_however_often_it_was_done_before(self, first: str, second: str):
        if any(mark in each for mark in (report.BEGIN, report.END) for each in (first, second)):
            return
        text = f"{BEFORE}{report.BEGIN}\n{report.END}{AFTER}"
        assert report.insert(report.insert(text, first), second) == report.insert(text, second)

    @pytest.mark.parametrize(
        "text", ["", report.BEGIN, report.END, report.END + report.BEGIN, 2 * (report.BEGIN + report.END), report.BEGIN + report.END + report.END]
    )
    def test_refuses_a_text_without_one_place(self, text: str, tmp_path: Path):
        path = tmp_path / "README.md"
        path.write_text(text)
        with pytest.raises(report.NoMarkers):
            report.insert_into(path, "new")
        assert path.read_text() == text


class TestWrite:
    def test_tells_what_was_measured_and_where(self, results: Results):
        text = report.write(results, has_plot=True)
        for fact in (
            "A | B <fast>",
            "2 cores",
            "8 GiB",
            "Python 3.11",
            "2026-01-01",
            "2 photos",
            "900 (895 to 905)",
            "3.00",
            "DALI",
            report.PLOT,
            "10^4",
            "150 us",
        ):
            assert fact in text
        assert text.index("| Batchlens over HTTP, RemoteLoader") < text.index("| tutorial's loader |")

    def test_leaves_out_what_was_not(self, results: Results):
        results.comparison = results.throughput = results.plans = None
        assert "|" not in report.write(results, has_plot=False).replace("A | B", "").replace(report.RECIPE, "")

    def test_tables_are_rectangular(self, results: Results):
        for block in report.write(results, has_plot=False).split("\n\n")[1:]:
            widths = {line.replace("\\|", "").count("|") for line in block.splitlines() if line.startswith("|")}
            assert len(widths) <= 1


class TestDraw:
    def test_is_well_formed_and_names_everyone(self, results: Results):
        root = ET.fromstring(plot.draw(results))
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"Batchlens, RemoteLoader, workers=2", "tutorial's loader", "900", "300", "10^4"} <= set(texts)

    def test_bars_are_as_long_as_what_they_show(self, results: Results):
        root = ET.fromstring(plot.draw(results))
        steady = [float(each.get("width", 0)) for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "14"]
        assert steady[0] == pytest.approx(3 * steady[1], rel=0.01)

    def test_is_empty_without_anything_to_draw(self, results: Results):
        results.comparison = results.throughput = results.plans = None
        assert plot.draw(results) == ""


class TestTotalRate:
    def test_of_one_is_its_own(self):
        run = Run(10.0, ((11.0, 64), (12.0, 64), (14.0, 52)))
        assert total_rate([run]) == pytest.approx(run.rate) == 45

    def test_counts_only_while_all_were_at_it(self):
        steady = Run(0.0, tuple((float(second), 10) for second in range(1, 101)))
        late = Run(50.0, tuple((50.0 + second, 20) for second in range(1, 11)))
        assert total_rate([steady, late]) == pytest.approx(30)

    @unhurried
    @given(rates=st.lists(st.integers(1, 50), min_size=1, max_size=5), length=st.integers(1, 50), shift=st.floats(0, 0.9))
    def test_of_even_streams_is_their_sum(self, rates: list[int], length: int, shift: float):
        runs = [Run(number * shift, tuple((number * shift + at + 1, rate) for at in range(length + 5))) for number, rate in enumerate(rates)]
        assert total_rate(runs) == pytest.approx(sum(rates))


class TestPercentile:
    @unhurried
    @given(values=st.lists(st.floats(0, 1e6), min_size=1), share=st.floats(0.01, 1))
    def test_is_the_least_that_covers_the_share(self, values: list[float], share: float):
        found = percentile(values, share)
        assert sum(each <= found for each in values) >= share * len(values) - 1e-9
        assert sum(each < found for each in values) < share * len(values)


class TestHeartbeat:
    def test_measures_again_what_was_stopped(self):
        """A process that stops itself cannot start itself again, so another does."""
        lines = (
            "import os, signal, time",
            "from tests.benchmarks.heartbeat import Heartbeat",
            "heart, attempts = Heartbeat(), []",
            "def measure():",
            "    attempts.append(0)",
            "    if len(attempts) == 1:",
            "        print('stop me', flush=True); time.sleep(0.1); os.kill(os.getpid(), signal.SIGSTOP); time.sleep(0.2)",
            "    return len(attempts)",
            "print(heart.undisturbed(measure), flush=True)",
        )
        with subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "stop me\n"
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline() == "2\n"
