"""`make bench`: what the service does beside the loaders that it replaces, on this machine. `--quick` for a look, `--help` for the rest."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import comparison, latency, memory, plans, plot, recovery, report, throughput
from tests.benchmarks.effort import FULL, QUICK, Effort, Tell
from tests.benchmarks.ground import ROOT, Ground, common_ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.machine import Machine
from tests.benchmarks.results import Results

_ERR = Console(stderr=True)
_README = ROOT / "README.md"
_PEERS = ROOT / ".venv-peers" / "bin" / "python"

Measure = Callable[[Ground, Effort, Tell, Heartbeat], Any]
MEASURES: dict[str, tuple[Callable[[Effort], int], Measure]] = {
    "comparison": (comparison.count_steps, comparison.compare),
    "throughput": (throughput.count_steps, throughput.measure),
    "latency": (latency.count_steps, latency.measure),
    "recovery": (recovery.count_steps, recovery.measure),
    "plans": (plans.count_steps, plans.measure),
    "memory": (memory.count_steps, memory.measure),
}
"""What can be measured, in the order it is done: how many steps it tells about, and what does it."""


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Measure only this; may be repeated. One of: {', '.join(MEASURES)}.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="How often each figure is taken.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look in about a minute: one short run, no search for the best settings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON instead of the report.")] = False,
    peer_python: Annotated[Path | None, typer.Option(help="Python with tensorflow and DALI. Default: that of `make peers`, else this one.")] = None,
    readme: Annotated[bool, typer.Option(help="Write the report into the README, and the plot, if all was measured in full.")] = True,
) -> None:
    """Measures the service beside other loaders. Takes about half an hour; leave the machine alone meanwhile."""
    chosen = _choose(only)
    effort = QUICK if quick else FULL
    effort = Effort(runs or effort.runs, effort.seconds, effort.warm_seconds, effort.is_quick)
    python = str(peer_python or (_PEERS if _PEERS.exists() else sys.executable))
    is_whole = readme and not quick and set(chosen) == set(MEASURES)
    if is_whole:
        _check_place()
    results = Results(Machine.here(), "", effort)
    try:
        _measure(results, chosen, effort, python)
    except KeyboardInterrupt:
        is_whole = False
        _ERR.print("Interrupted; what was measured by then follows.", style="yellow")
    drawing = plot.draw(results) if is_whole else ""
    text = report.write(results, has_plot=bool(drawing))
    if as_json:
        sys.stdout.write(json.dumps(asdict(results), indent=2) + "\n")
    else:
        Console().print(Markdown(text)) if sys.stdout.isatty() else sys.stdout.write(text)
    if is_whole:
        _publish(text, drawing)


def _choose(only: list[str] | None) -> list[str]:
    for name in only or ():
        if name not in MEASURES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(MEASURES)}.", param_hint="--only")
    return [name for name in MEASURES if not only or name in only]


def _measure(results: Results, chosen: list[str], effort: Effort, python: str) -> None:
    columns = (TextColumn("{task.fields[name]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    heart = Heartbeat()
    measures = MEASURES | {"comparison": (comparison.count_steps, partial(comparison.compare, peer_python=python))}
    with common_ground() as ground, Progress(*columns, console=_ERR) as progress:
        results.ground = ground.description
        for name in chosen:
            count, measure = measures[name]
            task = progress.add_task("", name=name, total=count(effort))
            begun = False

            def tell(step: str, task: Any = task) -> None:
                nonlocal begun
                progress.update(task, description=step, advance=int(begun))
                begun = True

            setattr(results, name, measure(ground, effort, tell, heart))
            progress.update(task, description="", completed=count(effort))


def _check_place() -> None:
    """Ends before anything is measured if there would be no place for the report."""
    try:
        report.insert(_README.read_text(encoding="utf-8"), "")
    except report.NoMarkers as exc:
        raise typer.BadParameter(f"README.md has no place for the report: {exc}.", param_hint="--readme") from exc


def _publish(text: str, drawing: str) -> None:
    (ROOT / report.PLOT).write_text(drawing, encoding="utf-8")
    report.insert_into(_README, text)


if __name__ == "__main__":
    if not sys.stderr.isatty():
        os.environ.setdefault("COLUMNS", "160")
    typer.run(main)
