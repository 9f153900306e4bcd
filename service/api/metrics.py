"""Counts for Prometheus, on a registry of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.devices.device import Device

Reports = Callable[[], list[dict[str, Any]]]
Devices = Callable[[], Iterable[Device]]
Availability = Callable[[], Mapping[str, bool]]
_METHODS = {"GET", "HEAD", "PUT", "POST", "DELETE"}
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COUNTERS = {
    "served": "Batches handed out.",
    "rendered": "Batches rendered.",
    "images": "Images rendered.",
    "reused": "Requests that shared or found a batch made for another.",
    "ahead": "Batches begun before anybody asked for them.",
    "refused": "Requests turned away because the queue was full.",
    "restarts": "Times that workers were replaced.",
}
_MEMORIES = {"slab": "rendered batches", "arena": "decoded images"}


class Metrics:
    """Counts requests, and asks loaders and devices for what they have done when it is scraped. No label takes its value from a client.

    Args:
        reports: gives the state of every open loader.
        devices: describes every device.
        availability: whether each dataset that was found is served, by name.
    """

    def __init__(self, reports: Reports, devices: Devices, availability: Availability = dict) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("batchlens_requests", "Requests answered.", ["method", "route", "code"], registry=self.registry)
        self._seconds = Histogram("batchlens_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self.registry)
        self._stages = Histogram(
            "batchlens_stage_seconds", "Time of a stage of a rendered answer: plan, wait, render, encode.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self.registry.register(_LoaderCollector(reports))
        self.registry.register(_DeviceCollector(devices))
        self.registry.register(_DatasetCollector(availability))
        ProcessCollector(registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_stages(self, seconds: Mapping[str, float]) -> None:
        """Counts where the time of one rendered answer went: stage -> seconds."""
        for stage, each in seconds.items():
            self._stages.labels(stage).observe(each)


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
        yield _gauge("batchlens_loader_workers_wanted", "Workers that there should be.", reports, lambda report: report["workers"])
        for name, content in _MEMORIES.items():
            memories = [{**report, **report[name]} for report in reports if name in report]
            yield _gauge(f"batchlens_loader_{name}_used_bytes", f"Shared memory that holds {content}.", memories, lambda memory: memory["used_bytes"])
            yield _gauge(f"batchlens_loader_{name}_size_bytes", f"Shared memory for {content}.", memories, lambda memory: memory["size_bytes"])


class _DeviceCollector(Collector):
    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def collect(self) -> Iterator[GaugeMetricFamily]:
        size = GaugeMetricFamily("batchlens_device_memory_size_bytes", "Memory of a device.", labels=["device"])
        free = GaugeMetricFamily("batchlens_device_memory_free_bytes", "Free memory of a device; absent where nobody can tell.", labels=["device"])
        for device in self._devices():
            size.add_metric([device.id], device.memory.total_bytes)
            if device.memory.free_bytes is not None:
                free.add_metric([device.id], device.memory.free_bytes)
        yield size
        yield free


class _DatasetCollector(Collector):
    def __init__(self, availability: Availability) -> None:
        self._availability = availability

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily("batchlens_dataset_available", "1 if a dataset is served, 0 if it was found and cannot be listed.", labels=["dataset"])
        for name, is_served in self._availability().items():
            gauge.add_metric([name], is_served)
        yield gauge


def _gauge(name: str, text: str, reports: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=["dataset", "split"])
    for report in reports:
        gauge.add_metric([report["dataset"], report["split"]], value(report))
    return gauge
