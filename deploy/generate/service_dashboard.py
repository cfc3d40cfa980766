"""The dashboard of the service: is it healthy, is it fast, what is it doing?"""

from deploy.generate.panels import SCOPE, Json, Query, dashboard, heatmap, stat, table, timeseries

_CLIENTS = f'{SCOPE},api!="operations"'  # what clients asked for: neither probes nor scrapes
_ERRORS = f'{_CLIENTS},code=~"500|502|503|INTERNAL|UNKNOWN|UNAVAILABLE"'
_RATE = "[$__rate_interval]"


def _quantile(quantile: float, histogram: str, selector: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}{_RATE})))"


def service_dashboard() -> Json:
    """The dashboard as JSON."""
    requests = f"sum(rate(latentd_requests_total{{{_CLIENTS}}}{_RATE}))"
    errors = f"(sum(rate(latentd_requests_total{{{_ERRORS}}}{_RATE})) or vector(0)) / ({requests} > 0)"
    health = [
        stat("Requests", "Calls of clients, without probes and scrapes.", Query(requests), unit="reqps"),
        stat(
            "Failing",
            "Share of calls that the server itself failed (500, 502, 503 and their gRPC kin). The objective is 0.1 %.",
            Query(errors),
            unit="percentunit",
            red_above=0.001,
        ),
        stat(
            "99 of 100 within",
            "99th percentile of the time from a request's first byte to its answer's last.",
            Query(_quantile(0.99, "latentd_request_duration_seconds", _CLIENTS)),
            unit="s",
            red_above=2.5,
        ),
        stat(
            "Queue in use",
            "Rows waiting, as a share of those that may. At 1 clients are turned away.",
            Query(f"max(latentd_queue_rows{{{SCOPE}}} / latentd_queue_limit_rows{{{SCOPE}}})"),
            unit="percentunit",
            red_above=0.8,
        ),
        stat(
            "Servers up",
            "Servers that answer Prometheus.",
            Query(f"sum(up{{{SCOPE}}})"),
            unit="short",
            red_below=1,
        ),
        stat(
            "Packages refused",
            "Versions in the store that did not verify. `latentd models list` says why.",
            Query(f'sum(latentd_model_state{{{SCOPE},state="refused"}}) or vector(0)'),
            unit="short",
            red_above=1,
        ),
    ]
    traffic = [
        timeseries(
            "Requests by outcome",
            "HTTP status or gRPC status name. 429 and RESOURCE_EXHAUSTED were turned away, 499 left by themselves.",
            [Query(f"sum by (code) (rate(latentd_requests_total{{{_CLIENTS}}}{_RATE}))", "{{code}}")],
            unit="reqps",
            stacked=True,
        ),
        timeseries(
            "Requests by API",
            "native HTTP, OpenAI, Open Inference Protocol over HTTP and gRPC, native gRPC.",
            [Query(f"sum by (api) (rate(latentd_requests_total{{{_CLIENTS}}}{_RATE}))", "{{api}}")],
            unit="reqps",
            stacked=True,
        ),
        timeseries(
            "Images by model",
            "Images generated. The unit that capacity is counted in.",
            [
                Query(
                    f"sum by (model, version, precision) (rate(latentd_images_total{{{SCOPE}}}{_RATE}))",
                    "{{model}}@{{version}} {{precision}}",
                )
            ],
            unit="short",
            stacked=True,
        ),
    ]
    latency = [
        timeseries(
            "Latency",
            "From a request's first byte to its answer's last. A p99 far above the p50 is a queue, or a mix of sizes.",
            [
                Query(_quantile(quantile, "latentd_request_duration_seconds", _CLIENTS), f"p{quantile * 100:g}")
                for quantile in (0.5, 0.9, 0.99)
            ],
            unit="s",
        ),
        heatmap(
            "Latency, every request",
            "Two bands are two kinds of requests, or two models.",
            f"latentd_request_duration_seconds_bucket{{{_CLIENTS}}}",
            unit="s",
        ),
        timeseries(
            "Waiting in the queue",
            "From joining the queue to the start of the first batch. Where latency comes from here, add servers.",
            [
                Query(_quantile(quantile, "latentd_queue_duration_seconds", SCOPE), f"p{quantile * 100:g}")
                for quantile in (0.5, 0.99)
            ],
            unit="s",
        ),
        timeseries(
            "Stages, p99",
            "Of a batch: latents from seeds (input), the network (run), handing rows back (output). "
            "Of an answer: turning arrays into bytes (encode).",
            [Query(_quantile(0.99, "latentd_compute_duration_seconds", SCOPE, "stage"), "{{stage}}")],
            unit="s",
        ),
        timeseries(
            "Busy with",
            "Threads at work on each stage, on average. `run` at the number of inference threads is a full server; "
            "`encode` near 2 is a full encoder pool: ask clients for raw or npy.",
            [
                Query(
                    f"sum by (stage) (rate(latentd_compute_duration_seconds_sum{{{SCOPE}}}{_RATE}))",
                    "{{stage}}",
                )
            ],
            unit="short",
            stacked=True,
        ),
        timeseries(
            "Error budget burn",
            "Share of failing calls over four windows; the lines at which alerts fire are 1.44 % (fast) and 0.6 %.",
            [
                Query(f'max(latentd:request_errors:ratio_rate{window}{{job=~"$job"}})', window)
                for window in ("5m", "30m", "1h", "6h")
            ],
            unit="percentunit",
        ),
    ]
    batches = [
        timeseries(
            "Queue",
            "Rows (images) waiting, and how many may.",
            [
                Query(f"sum(latentd_queue_rows{{{SCOPE}}})", "waiting"),
                Query(f"sum(latentd_queue_limit_rows{{{SCOPE}}})", "limit"),
            ],
            unit="short",
        ),
        heatmap(
            "Rows per batch",
            "Large batches under load are what batching is for; single rows under load mean that it brings nothing.",
            f"latentd_batch_rows_bucket{{{SCOPE}}}",
            unit="short",
        ),
        timeseries(
            "Batches by reason",
            "Why a batch was sent: full, a worker was idle, the delay was over, or the server drains.",
            [Query(f"sum by (reason) (rate(latentd_dispatch_total{{{SCOPE}}}{_RATE}))", "{{reason}}")],
            unit="ops",
            stacked=True,
        ),
        timeseries(
            "Batches in flight",
            "Batches being computed, of at most one per inference thread.",
            [Query(f"sum by (instance) (latentd_inflight_batches{{{SCOPE}}})", "{{instance}}")],
            unit="short",
        ),
        timeseries(
            "Turned away",
            "Requests not served: queue full, deadline (would have or has passed), cancelled by the client, too large, "
            "draining.",
            [Query(f"sum by (reason) (rate(latentd_rejected_total{{{SCOPE}}}{_RATE}))", "{{reason}}")],
            unit="reqps",
            stacked=True,
        ),
        timeseries(
            "Mean rows per batch",
            "Images per run of the network.",
            [
                Query(
                    f"sum(rate(latentd_batch_rows_sum{{{SCOPE}}}{_RATE}))"
                    f" / sum(rate(latentd_batch_rows_count{{{SCOPE}}}{_RATE}))",
                    "rows",
                )
            ],
            unit="short",
        ),
    ]
    models = [
        table(
            "Models served",
            "Each version that is loaded, on each server. After an update every server should show the same.",
            Query(f"latentd_model_info{{{SCOPE}}}"),
            ("model", "version", "family", "precisions", "instance"),
        ),
        table(
            "Servers",
            "Version of latentd that each server runs.",
            Query(f"latentd_build_info{{{SCOPE}}}"),
            ("instance", "version"),
        ),
        timeseries(
            "Versions by state",
            "Versions of packages that are ready, and those that were refused.",
            [Query(f"sum by (state) (latentd_model_state{{{SCOPE}}})", "{{state}}")],
            unit="short",
            width=24,
        ),
    ]
    return dashboard(
        "latentd-service",
        "latentd: service",
        "Is it healthy, is it fast, and what is it doing?",
        [
            ("At a glance", health),
            ("Traffic", traffic),
            ("Latency", latency),
            ("Queue and batches", batches),
            ("Models", models),
        ],
    )
