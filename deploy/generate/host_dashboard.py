"""The dashboard of what the service runs on: its process, its disks, its GPUs."""

from deploy.generate.panels import SCOPE, Json, Query, dashboard, stat, timeseries

_RATE = "[$__rate_interval]"


def host_dashboard() -> Json:
    """The dashboard as JSON."""
    glance = [
        stat(
            "Longest up",
            "Time since the oldest of the servers started.",
            Query(f"time() - min(process_start_time_seconds{{{SCOPE}}})"),
            unit="s",
            width=6,
        ),
        stat(
            "Cores in use",
            "Of all servers together.",
            Query(f"sum(rate(process_cpu_seconds_total{{{SCOPE}}}{_RATE}))"),
            unit="short",
            width=6,
        ),
        stat(
            "Memory in use",
            "Resident memory of all servers together.",
            Query(f"sum(process_resident_memory_bytes{{{SCOPE}}})"),
            unit="bytes",
            width=6,
        ),
        stat(
            "Fullest disk",
            "Of the file systems of store and state.",
            Query(f"1 - min(latentd_disk_free_bytes{{{SCOPE}}} / latentd_disk_size_bytes{{{SCOPE}}})"),
            unit="percentunit",
            red_above=0.9,
            width=6,
        ),
    ]
    process = [
        timeseries(
            "Cores by server",
            "A server at its CPU limit is full: it queues first and turns clients away next.",
            [Query(f"rate(process_cpu_seconds_total{{{SCOPE}}}{_RATE})", "{{instance}}")],
            unit="short",
        ),
        timeseries(
            "Memory by server",
            "Resident memory. It grows with models loaded and with the size of answers, then stays.",
            [Query(f"process_resident_memory_bytes{{{SCOPE}}}", "{{instance}}")],
            unit="bytes",
        ),
        timeseries(
            "Open files",
            "File descriptors, as a share of those allowed: mostly connections of clients.",
            [Query(f"process_open_fds{{{SCOPE}}} / process_max_fds{{{SCOPE}}}", "{{instance}}")],
            unit="percentunit",
            maximum=1,
        ),
    ]
    disks = [
        timeseries(
            "Free space",
            "Of the file systems that hold the model store and the server's state.",
            [Query(f"latentd_disk_free_bytes{{{SCOPE}}}", "{{instance}} {{folder}}")],
            unit="bytes",
            width=12,
        ),
        timeseries(
            "Disk in use",
            "As a share; above 0.9 an alert fires.",
            [
                Query(
                    f"1 - latentd_disk_free_bytes{{{SCOPE}}} / latentd_disk_size_bytes{{{SCOPE}}}",
                    "{{instance}} {{folder}}",
                )
            ],
            unit="percentunit",
            maximum=1,
            width=12,
        ),
    ]
    gpus = [
        timeseries(
            "GPU busy",
            "Share of time in which a kernel ran; empty without an NVIDIA driver. Busy is not yet efficient.",
            [Query(f"latentd_gpu_utilization_ratio{{{SCOPE}}}", "{{instance}} GPU {{gpu}}")],
            unit="percentunit",
            maximum=1,
            width=12,
        ),
        timeseries(
            "GPU memory",
            "Used and free, by every process on the GPU.",
            [Query(f"latentd_gpu_memory_bytes{{{SCOPE}}}", "{{instance}} GPU {{gpu}} {{state}}")],
            unit="bytes",
            width=12,
        ),
    ]
    return dashboard(
        "latentd-host",
        "latentd: host and GPU",
        "What the servers run on, as they see it themselves.",
        [("At a glance", glance), ("Process", process), ("Disks", disks), ("GPUs", gpus)],
    )
