"""The metric names are part of the wire contract."""

from prometheus_client import CollectorRegistry, generate_latest

from service.metrics import DISPATCH_REASONS, REJECT_REASONS, STAGES, Metrics

NAMES = {
    "latentd_batch_rows": "histogram",
    "latentd_build_info": "gauge",
    "latentd_compute_duration_seconds": "histogram",
    "latentd_disk_free_bytes": "gauge",
    "latentd_disk_size_bytes": "gauge",
    "latentd_dispatch_total": "counter",
    "latentd_gpu_memory_bytes": "gauge",
    "latentd_gpu_utilization_ratio": "gauge",
    "latentd_images_total": "counter",
    "latentd_inflight_batches": "gauge",
    "latentd_job_images_per_second": "gauge",
    "latentd_job_loss": "gauge",
    "latentd_job_step": "gauge",
    "latentd_jobs": "gauge",
    "latentd_model_info": "gauge",
    "latentd_model_state": "gauge",
    "latentd_queue_duration_seconds": "histogram",
    "latentd_queue_limit_rows": "gauge",
    "latentd_queue_rows": "gauge",
    "latentd_rejected_total": "counter",
    "latentd_request_duration_seconds": "histogram",
    "latentd_requests_total": "counter",
}


def exposed(metrics: Metrics) -> dict[str, str]:
    """Name → type of every metric with values, as Prometheus reads it, without the `_created` stamps."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    types = dict(line.split()[2:] for line in lines if line.startswith("# TYPE"))
    return {name: kind for name, kind in types.items() if not name.endswith("_created")}


def test_the_names_and_types_are_the_contracts(metrics: Metrics) -> None:
    own = {name: kind for name, kind in exposed(metrics).items() if name.startswith("latentd_")}
    assert own == NAMES


def test_every_other_metric_is_of_the_process_or_of_python(metrics: Metrics) -> None:
    assert [name for name in exposed(metrics) if not name.startswith(("latentd_", "process_", "python_"))] == []


def test_the_closed_label_sets_are_there_from_the_start(metrics: Metrics) -> None:
    text = generate_latest(metrics.registry).decode()
    for reason in DISPATCH_REASONS:
        assert f'latentd_dispatch_total{{reason="{reason}"}} 0.0' in text
    for reason in REJECT_REASONS:
        assert f'latentd_rejected_total{{reason="{reason}"}} 0.0' in text
    for stage in STAGES:
        assert f'latentd_compute_duration_seconds_count{{stage="{stage}"}} 0.0' in text


def test_two_servers_in_one_process_keep_apart() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.queue_rows.set(3)
    assert second.registry.get_sample_value("latentd_queue_rows") == 0
