"""Buffered histograms say what prometheus_client's say, whatever is observed, from however many threads."""

import threading

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from service.histograms import Histogram

BUCKETS = (0.001, 0.01, 0.5, 1.0, 8)


def values(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Of every sample except the time stamps."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 20) | st.sampled_from(BUCKETS)), max_size=60))
def test_the_same_samples_as_the_clients(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    first = Histogram("seconds", "Time.", ["kind"], buckets=BUCKETS, registry=ours)
    second = prometheus_client.Histogram("seconds", "Time.", ["kind"], buckets=BUCKETS, registry=theirs)
    for kind, value in observed:
        first.labels(kind).observe(value)
        second.labels(kind).observe(value)
    assert values(ours) == pytest.approx(values(theirs))


@pytest.mark.parametrize("expose", [generate_latest, generate_openmetrics])
def test_the_same_text_as_the_clients(expose: object) -> None:
    texts = []
    for kind in (Histogram, prometheus_client.Histogram):
        registry = CollectorRegistry()
        made = kind("seconds", "Time.", ["kind"], buckets=BUCKETS, registry=registry)
        made.labels("a").observe(0.5)
        lines = expose(registry).decode().splitlines()  # type: ignore[operator]
        texts.append([line for line in lines if not line.startswith("seconds_created")])
    assert texts[0] == texts[1]


def test_without_labels_there_is_a_series_from_the_start() -> None:
    registry = CollectorRegistry()
    Histogram("rows", "Rows.", buckets=BUCKETS, registry=registry)
    assert registry.get_sample_value("rows_count") == 0
    assert registry.get_sample_value("rows_bucket", {"le": "+Inf"}) == 0


def test_many_values_are_counted_before_anybody_looks() -> None:
    registry = CollectorRegistry()
    series = Histogram("rows", "Rows.", buckets=BUCKETS, registry=registry).labels()
    for _ in range(5000):
        series.observe(0.25)
    assert len(series._kept) < 1024
    assert registry.get_sample_value("rows_count") == 5000
    assert registry.get_sample_value("rows_sum") == 1250


def test_nothing_is_lost_between_threads_that_observe_and_look() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("rows", "Rows.", ["kind"], buckets=BUCKETS, registry=registry)
    over = threading.Event()

    def observe() -> None:
        for _ in range(20_000):
            histogram.labels("a").observe(1)

    def look() -> None:
        while not over.is_set():
            generate_latest(registry)

    observers, looker = [threading.Thread(target=observe) for _ in range(4)], threading.Thread(target=look)
    for thread in (looker, *observers):
        thread.start()
    for thread in observers:
        thread.join()
    over.set()
    looker.join()
    assert registry.get_sample_value("rows_count", {"kind": "a"}) == 80_000
    assert registry.get_sample_value("rows_bucket", {"kind": "a", "le": "1.0"}) == 80_000


def test_a_name_is_taken_once_and_labels_are_complete() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("seconds", "Time.", ["kind"], buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("seconds", "Time.", buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="has the labels"):
        histogram.labels()
