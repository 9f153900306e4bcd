"""Counts for Prometheus, on a registry of their own."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Reports = Callable[[], list[dict[str, Any]]]
_COUNTERS = {
    "served": "Batches handed out.",
    "rendered": "Batches rendered.",
    "images": "Images rendered.",
    "reused": "Requests that shared or found a batch made for another.",
    "refused": "Requests turned away because the queue was full.",
    "restarts": "Times that workers were replaced.",
}


class Metrics:
    """Counts requests, and asks the loaders for what they have done when it is scraped.

    Args:
        reports: gives the state of every open loader.
    """

    def __init__(self, reports: Reports) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("batchlens_requests", "Requests answered.", ["method", "route", "code"], registry=self.registry)
        self._seconds = Histogram("batchlens_request_seconds", "Time to answer.", ["route"], registry=self.registry)
        self.registry.register(_LoaderCollector(reports))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        known = method if method in {"GET", "HEAD", "PUT", "POST", "DELETE"} else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class _LoaderCollector(Collector):
    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        reports = self._reports()
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"batchlens_loader_{name}", text, labels=["dataset", "split"])
            for report in reports:
                counter.add_metric([report["dataset"], report["split"]], report[name])
            yield counter
        yield _gauge("batchlens_loader_queued", "Batches waiting.", reports, lambda report: report["queued"])
        yield _gauge("batchlens_loader_workers", "Living workers.", reports, lambda report: len(report["pids"]))
        yield _gauge("batchlens_loader_slab_used_bytes", "Shared memory in slots.", reports, lambda report: report["slab"]["used_bytes"])
        yield _gauge("batchlens_loader_slab_size_bytes", "Shared memory for slots.", reports, lambda report: report["slab"]["size_bytes"])


def _gauge(name: str, text: str, reports: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=["dataset", "split"])
    for report in reports:
        gauge.add_metric([report["dataset"], report["split"]], value(report))
    return gauge
