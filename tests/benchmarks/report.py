"""Results as Markdown, and their place in the README."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.benchmarks.comparison import BASE, Comparison
from tests.benchmarks.ground import BATCH_SIZE, RECIPE
from tests.benchmarks.latency import Row as LatencyRow
from tests.benchmarks.memory import Memory
from tests.benchmarks.plans import Row as PlanRow
from tests.benchmarks.recovery import Recovery
from tests.benchmarks.results import Results
from tests.benchmarks.spread import Spread
from tests.benchmarks.throughput import Row as ThroughputRow

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
PLOT = ".assets/bench.svg"


class NoMarkers(Exception):
    """The text has no place for the report."""


def write(results: Results, has_plot: bool) -> str:
    """Writes the whole report, without its markers."""
    parts = [_introduce(results)]
    if has_plot:
        parts.append(f"![Images a second beside other loaders, by number of clients, and plan time by size of the dataset]({PLOT})")
    if results.comparison:
        parts += _compare(results.comparison)
    if results.throughput:
        parts += _throughput(results.throughput)
    if results.latency:
        parts.append(_latency(results.latency))
    if results.recovery:
        parts.append(_recovery(results.recovery))
    if results.plans:
        parts.append(_plans(results.plans))
    if results.memory:
        parts += _memory(results.memory)
    return "\n\n".join(parts) + "\n"


def insert(text: str, report: str) -> str:
    """Puts a report between the markers of a text, in place of what stands there.

    Raises:
        NoMarkers: there is not exactly one pair, the beginning first.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise NoMarkers(f"expected {BEGIN} and then {END}, each once")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return f"{before}\n{report.rstrip()}\n{after}"


def insert_into(path: Path, report: str) -> None:
    """Does so with a file; raises NoMarkers, and leaves the file alone then."""
    path.write_text(insert(path.read_text(encoding="utf-8"), report), encoding="utf-8")


def tabulate(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Makes a Markdown table; the first column is text, the others are numbers."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _introduce(results: Results) -> str:
    machine, effort = results.machine, results.effort
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"`make bench` on {machine.date}: {machine.model}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, code path {machine.capability};"
        f" {versions}. {results.ground}, `{RECIPE}`, batches of {BATCH_SIZE}, uint8 at the consumer, everything on the same cores."
        f" Medians of {effort.runs} {'run' if effort.runs == 1 else 'runs'} in turn, with the range; load by others at the start: {machine.load:.1f}."
    )


def _compare(comparison: Comparison) -> list[str]:
    table = tabulate(
        ["loader", "settings", "first epoch, images/s", "steady, images/s", f"steady against the {BASE}"],
        (
            [row.name + (f" ({row.note})" if row.note else ""), row.settings, _rate(row.first), _rate(row.steady), _ratio(row.ratio)]
            for row in sorted(comparison.rows, key=lambda row: -row.steady.median)
        ),
    )
    versions = {name: version for row in comparison.rows for name, version in row.versions.items()}
    notes = [f"Versions of the others: {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}." if versions else ""]
    notes += [f"Not measured: {', '.join(comparison.missing)} (not installed)." if comparison.missing else ""]
    notes.append(
        "The others run in the process of their consumer, with the best of several settings; Batchlens sends every byte over HTTP, and server, workers and"
        " client share the cores. Settings named antialias=0 leave out the low-pass filter, which is less work and makes other pixels. The first epoch includes"
        " the start of a loader's workers."
    )
    return [table, " ".join(note for note in notes if note)]


def _throughput(rows: Sequence[ThroughputRow]) -> list[str]:
    rates = {row.case: row.rate for row in rows}
    workers = sorted({case.workers for case in rates})
    clients = sorted({case.clients for case in rates})
    sizes = sorted({case.batch_size for case in rates})

    def cell(**wanted: object) -> str:
        found = [rate for case, rate in rates.items() if all(getattr(case, name) == value for name, value in wanted.items())]
        return _rate(found[0]) if found else ""

    plain = {"is_shared": False, "is_cold": False}
    by_clients = [
        [f"{title}, {_workers(number)}", *(cell(workers=number, clients=each, batch_size=BATCH_SIZE, **(plain | kind)) for each in clients)]
        for title, kind in (("each its own stream", {}), ("all one stream", {"is_shared": True}), ("first epoch", {"is_cold": True}))
        for number in workers
    ]
    by_size = [[_workers(number), *(cell(workers=number, clients=1, batch_size=each, **plain) for each in sizes)] for number in workers]
    return [
        tabulate(["clients, images/s over all", *map(str, clients)], [row for row in by_clients if any(row[1:])]),
        tabulate(["batch size, one client, images/s", *map(str, sizes)], by_size),
    ]


def _latency(rows: Sequence[LatencyRow]) -> str:
    return tabulate(
        ["latency over HTTP, 2 workers", "median", "95 % within", "requests"],
        ([row.name, _duration(row.median_seconds), _duration(row.p95_seconds), str(row.count)] for row in rows),
    )


def _recovery(found: Recovery) -> str:
    return tabulate(
        ["SIGKILL of a worker at work", "median", "range"],
        [
            ["all workers there again", _duration(found.whole_seconds.median), _durations(found.whole_seconds)],
            ["the batch under way", _duration(found.batch_seconds.median), _durations(found.batch_seconds)],
            ["such a batch otherwise", _duration(found.usual_seconds), ""],
            [f"requests lost, of {found.whole_seconds.count}", str(found.failed), ""],
        ],
    )


def _plans(rows: Sequence[PlanRow]) -> str:
    return tabulate(
        [f"plan of a batch of {BATCH_SIZE}, samples in the split", *(f"10^{len(str(row.size)) - 1}" for row in rows)],
        [
            ["median time", *(_duration(row.seconds.median) for row in rows)],
            ["range", *(_durations(row.seconds) for row in rows)],
            ["most memory", *(f"{row.peak_bytes / 1024:,.0f} KiB" for row in rows)],
        ],
    )


def _memory(memory: Memory) -> list[str]:
    services = tabulate(
        ["memory of the service", "started", "after two epochs"],
        ([_workers(each.workers), _mebibytes(each.started_bytes), _mebibytes(each.worked_bytes)] for each in memory.services),
    )
    listings = tabulate(
        ["listing of empty files", "memory", "for a million", "scan"],
        ([f"{each.size:,}", _mebibytes(each.bytes_taken), _mebibytes(each.bytes_per_million), _duration(each.seconds)] for each in memory.listings),
    )
    return [services, listings]


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"


def _rate(spread: Spread) -> str:
    return f"{spread.median:,.0f}" if spread.count == 1 else f"{spread.median:,.0f} ({spread.low:,.0f} to {spread.high:,.0f})"


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f}" if spread.count == 1 else f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _duration(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}" if seconds * factor < 10 else f"{seconds * factor:,.0f} {unit}"
    return f"{seconds * 1e6:.0f} us"


def _durations(spread: Spread) -> str:
    return f"{_duration(spread.low)} to {_duration(spread.high)}"


def _mebibytes(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
