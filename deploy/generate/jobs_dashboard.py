"""The dashboard of jobs: what waits, what is learning, what has failed?

Servers that share a database all count the same jobs, so that counts are the largest of theirs, never their sum.
"""

from deploy.generate.panels import SCOPE, Json, Query, dashboard, stat, timeseries


def jobs_dashboard() -> Json:
    """The dashboard as JSON."""
    glance = [
        stat("Waiting", "Jobs that no runner has taken yet.", Query(_jobs("queued")), unit="short", width=6),
        stat("Running", "Jobs whose process is at work.", Query(_jobs("running")), unit="short", width=6),
        stat(
            "Failed",
            "Jobs that failed, as long as they are kept (`--job-days`). `GET /v1/fine_tuning/jobs` names them.",
            Query(_jobs("failed")),
            unit="short",
            width=6,
        ),
        stat(
            "Training speed",
            "Images per second of the fine-tuning that reported last.",
            Query(f"max(latentd_job_images_per_second{{{SCOPE}}})"),
            unit="short",
            width=6,
        ),
    ]
    states = [
        timeseries(
            "Fine-tuning by state",
            "Fine-tuning jobs in the database. What waits while nothing runs has no runner.",
            [Query(_by_status("fine_tuning"), "{{status}}")],
            unit="short",
            stacked=True,
            width=12,
        ),
        timeseries(
            "Data sets by state",
            "Data-set jobs in the database.",
            [Query(_by_status("dataset"), "{{status}}")],
            unit="short",
            stacked=True,
            width=12,
        ),
        timeseries(
            "Failures",
            "Jobs that failed within the last quarter of an hour.",
            [Query(f'max by (kind) (delta(latentd_jobs{{{SCOPE},status="failed"}}[15m]))', "{{kind}}")],
            unit="short",
            width=24,
        ),
    ]
    learning = [
        timeseries(
            "Images seen",
            "By the fine-tuning that reported last; a line that stays level while a job runs is a job that is stuck.",
            [Query(f"max(latentd_job_step{{{SCOPE}}})", "images")],
            unit="short",
        ),
        timeseries(
            "Generator's loss",
            "Of the same job. It goes up and down as the discriminator learns, too; trust the measures of its events.",
            [Query(f"max(latentd_job_loss{{{SCOPE}}})", "loss")],
            unit="short",
        ),
        timeseries(
            "Images per second",
            "Of the same job. Serving goes first: under load it slows down.",
            [Query(f"max(latentd_job_images_per_second{{{SCOPE}}})", "images/s")],
            unit="short",
        ),
    ]
    return dashboard(
        "latentd-jobs",
        "latentd: jobs",
        "What waits, what is learning, what has failed?",
        [("At a glance", glance), ("Jobs", states), ("Learning", learning)],
    )


def _jobs(status: str) -> str:
    return f'sum(max by (kind) (latentd_jobs{{{SCOPE},status="{status}"}}))'


def _by_status(kind: str) -> str:
    return f'max by (status) (latentd_jobs{{{SCOPE},kind="{kind}"}})'
