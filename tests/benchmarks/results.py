"""All that was measured in one go."""

from dataclasses import dataclass

from tests.benchmarks.comparison import Comparison
from tests.benchmarks.effort import Effort
from tests.benchmarks.latency import Row as LatencyRow
from tests.benchmarks.machine import Machine
from tests.benchmarks.memory import Memory
from tests.benchmarks.plans import Row as PlanRow
from tests.benchmarks.recovery import Recovery
from tests.benchmarks.throughput import Row as ThroughputRow


@dataclass(slots=True)
class Results:
    """What there is; None for what was not measured.

    Attributes:
        machine: where.
        ground: what the photos are.
        effort: how much.
        comparison: throughput beside others.
        throughput: by clients, batch size, workers.
        latency: by kind of request.
        plans: by size of the split.
        memory: of processes and listings.
        recovery: after the death of a worker.
    """

    machine: Machine
    ground: str
    effort: Effort
    comparison: Comparison | None = None
    throughput: tuple[ThroughputRow, ...] | None = None
    latency: tuple[LatencyRow, ...] | None = None
    plans: tuple[PlanRow, ...] | None = None
    memory: Memory | None = None
    recovery: Recovery | None = None
