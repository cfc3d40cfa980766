"""`latentd worker`: runs jobs for servers that leave them to others."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import click

from service.settings import Settings, SettingsError, load_settings

_OPTIONS = (
    "store",
    "state",
    "database",
    "file_store",
    "job_slots",
    "job_runner",
    "ray_address",
    "ray_token",
    "job_gpus",
    "job_cores",
    "job_memory_bytes",
    "job_lease_seconds",
    "max_file_bytes",
    "max_file_images",
    "file_days",
    "job_days",
    "failed_job_days",
    "keep_versions",
    "reserve_bytes",
    "log_level",
    "log_format",
)


def _options(command: Any) -> Any:
    for name in reversed(_OPTIONS):
        field = Settings.model_fields[name]
        shown = "" if field.default is None else f"  [default: {field.default}]"
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, default=None, metavar="VALUE", help=f"{field.description}{shown}")(command)
    return command


@click.command(
    epilog="""Where the server's installation has no torch, it keeps jobs and files, and a worker beside it trains:

\b
  latentd serve --store models --state state --job-slots 0
  latentd worker --store models --state state

\b
Workers on several machines share the store, the state folder and a database (pip install 'latentd[postgres]'):
  latentd worker --store /shared/models --state /shared/state \\
      --database postgresql://latentd@database/latentd --job-slots 2

Every option is also a variable LATENTD_<NAME> and a key of the --config file (TOML). Ctrl-C and SIGTERM let processes
save; their jobs go on elsewhere, or here when the worker is back.
"""
)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), envvar="LATENTD_CONFIG", help="TOML file")
@_options
def worker(config: Path | None, **flags: str | None) -> None:
    """Run fine-tuning and data-set jobs of the servers that share a database."""
    environment = {name: value for name, value in os.environ.items() if name != "LATENTD_CONFIG"}
    try:
        settings = load_settings(flags, environment, config)
        if not settings.job_slots:
            raise SettingsError("setting job_slots: got 0; allowed: at least 1 for a worker")
        _run(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def _run(settings: Settings) -> None:
    import logging

    from service.jobs.assembly import assemble, kinds_of
    from service.jobs.crew import JobCrew
    from service.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format, access=False)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings.state.mkdir(parents=True, exist_ok=True)
    parts = assemble(settings)
    crew = JobCrew(settings, parts)
    crew.start()
    logging.getLogger("latentd").info(
        "%d slots for %s, from %s", settings.job_slots, ", ".join(kinds_of(settings)), parts.database.shown
    )
    stop.wait()
    crew.stop()
    crew.join()
