"""Every metric of the server, declared once on a registry that is passed in.

Label values come from closed sets (routes, models in the store, statuses): a client can never create one.
"""

from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from runtime import __version__
from service.histograms import Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_QUEUE_SECONDS = (0.0001, 0.00025, 0.0005, *_SECONDS)  # an idle server starts a batch in less than a millisecond
_STAGE_SECONDS = (0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS[:-2])  # a batch is made to last a few
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

DISPATCH_REASONS = ("full", "idle", "delay", "drain")
REJECT_REASONS = ("queue_full", "deadline", "cancelled", "rate", "size", "draining")
STAGES = ("input", "run", "output", "encode")


class Metrics:
    """The wire contract's metrics; see its page for their meaning."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("latentd_build", "Version of the running server.", registry=registry).info({"version": __version__})
        self.requests = Counter(
            "latentd_requests_total",
            "Requests answered.",
            ["model", "version", "api", "code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "latentd_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["api"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_durations = Histogram(
            "latentd_queue_duration_seconds",
            "From the enqueueing of a request to the start of its first batch.",
            buckets=_QUEUE_SECONDS,
            registry=registry,
        )
        self.compute_seconds = Histogram(
            "latentd_compute_duration_seconds",
            "Time of one batch (input, run, output) or of one answer (encode).",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.batch_sizes = Histogram("latentd_batch_rows", "Rows per batch.", buckets=_ROWS, registry=registry)
        self.dispatch = Counter(
            "latentd_dispatch_total", "Batches by the reason they were sent.", ["reason"], registry=registry
        )
        self.queue_rows = Gauge("latentd_queue_rows", "Rows waiting.", registry=registry)
        self.queue_limit_rows = Gauge("latentd_queue_limit_rows", "Most rows that may wait.", registry=registry)
        self.rejected = Counter(
            "latentd_rejected_total", "Requests not served, by reason.", ["reason"], registry=registry
        )
        self.images = Counter(
            "latentd_images_total", "Images generated.", ["model", "version", "precision"], registry=registry
        )
        self.model_info = Gauge(
            "latentd_model_info",
            "1 for each version being served.",
            ["model", "version", "family", "precisions"],
            registry=registry,
        )
        self.model_state = Gauge(
            "latentd_model_state",
            "1 for the state a version is in.",
            ["model", "version", "state"],
            registry=registry,
        )
        self.inflight_batches = Gauge("latentd_inflight_batches", "Batches being computed.", registry=registry)
        self.disk_free_bytes = Gauge(
            "latentd_disk_free_bytes", "Free space that the server may use.", ["folder"], registry=registry
        )
        self.disk_size_bytes = Gauge(
            "latentd_disk_size_bytes", "Size of the file system of a folder.", ["folder"], registry=registry
        )
        self.gpu_memory_bytes = Gauge(
            "latentd_gpu_memory_bytes", "Memory of a GPU, used and free.", ["gpu", "state"], registry=registry
        )
        self.gpu_utilization_ratio = Gauge(
            "latentd_gpu_utilization_ratio", "Share of time in which a GPU was busy.", ["gpu"], registry=registry
        )
        self.jobs = Gauge("latentd_jobs", "Jobs in the database.", ["kind", "status"], registry=registry)
        self.job_step = Gauge("latentd_job_step", "Images seen by the job that reported last.", registry=registry)
        self.job_loss = Gauge("latentd_job_loss", "Its generator's loss.", registry=registry)
        self.job_images_per_second = Gauge("latentd_job_images_per_second", "Its speed.", registry=registry)
        self.dispatched = {reason: self.dispatch.labels(reason) for reason in DISPATCH_REASONS}
        for reason in REJECT_REASONS:
            self.rejected.labels(reason)
        self.stage_seconds = {stage: self.compute_seconds.labels(stage) for stage in STAGES}
        self.queue_seconds, self.batch_rows = self.queue_durations.labels(), self.batch_sizes.labels()
        # Of every request: finding a series takes longer than adding to it.
        self.requests_of = cache(self.requests.labels)
        self.request_seconds_of = cache(self.request_seconds.labels)
        self.images_of = cache(self.images.labels)
