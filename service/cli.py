"""`latentd serve` and `latentd keys`. Imports of the server itself wait until a command runs."""

import asyncio
import logging
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from runtime.atomic import write_atomic
from service.keys import SCOPES, KeyFile, Scope, StoredKey
from service.settings import Settings, SettingsError, load_settings

_STATE = click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), default=Path("state"), show_default=True
)


def _setting_options(command: Any) -> Any:
    """One flag per field of `Settings`; values are checked with those of the other sources."""
    for name, field in reversed(Settings.model_fields.items()):
        shown = "" if field.default is None or field.default_factory else f"  [default: {field.default}]"
        command = click.option(
            f"--{name.replace('_', '-')}",
            name,
            default=None,
            metavar="VALUE",
            help=f"{field.description}{shown}",
        )(command)
    return command


@click.command(
    epilog="""Every option is also a variable LATENTD_<NAME> and a key of the --config file (TOML).
A flag wins over the environment, the environment over the file.

Examples:

\b
  latentd serve --store models
  LATENTD_HTTP_PORT=9000 latentd serve --store models --max-images 256

\b
Then, in another terminal:
  curl -s http://127.0.0.1:8000/v1/samples -d '{"n": 16, "seed": 7}' -H 'Accept: image/png' -o grid.png
  curl -s http://127.0.0.1:8000/v1/models
  latentd sample --labels 0,1,2 --n 10 --out digits.png
  latentd bench --concurrency 8 --seconds 10

\b
Or in Python, with the client you have: openai,
  import openai
  client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
  image = client.images.generate(model="MODEL", prompt="").data[0].b64_json

\b
tritonclient (or tritonclient.grpc, at 127.0.0.1:8001),
  import numpy, tritonclient.http as triton
  seeds = triton.InferInput("seed", [2, 1], "UINT64")
  seeds.set_data_from_numpy(numpy.array([[7], [8]], dtype="uint64"))
  client = triton.InferenceServerClient("127.0.0.1:8000")
  images = client.infer("MODEL", [seeds]).as_numpy("images")

\b
gRPC with our own messages (proto/, or server reflection), and its stock health check:
  import grpc
  from grpc_health.v1 import health_pb2, health_pb2_grpc
  from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
  from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
  channel = grpc.insecure_channel("127.0.0.1:8001")
  images = GenerationStub(channel).Sample(SampleRequest(model="MODEL", n=2, seed=7)).images
  health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

\b
Beyond this machine (a key is then needed), with TLS, and a limit for each key:
  latentd keys create dashboard --state state
  latentd serve --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key --images-per-second 500
"""
)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), envvar="LATENTD_CONFIG", help="TOML file")
@_setting_options
def serve(config: Path | None, **flags: str | None) -> None:
    """Serve the models of a store over HTTP and gRPC."""
    environment = {name: value for name, value in os.environ.items() if name != "LATENTD_CONFIG"}
    try:
        settings = load_settings(flags, environment, config)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    from service.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format, access=settings.access_log)
    import uvloop

    from service.app import serve as run

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except (SettingsError, RuntimeError) as error:
        if settings.log_format == "json":  # whoever reads the log reads nothing else
            logging.getLogger("latentd").critical("%s", error)
            sys.exit(1)
        raise click.ClickException(str(error)) from error


class _Keys(click.Group):
    """Says in one line what is wrong with the key file."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Keys)
def keys() -> None:
    """Create, list and revoke API keys. A running server sees changes at once."""


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _over_after(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """A duration like 90d as the time when it is over."""
    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no duration; allowed: a number and m, h, d or w, e.g. 90d")
    return datetime.now(UTC).replace(microsecond=0) + int(found[1]) * _UNITS[found[2]]


@keys.command("create")
@click.argument("name")
@_STATE
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=("sample",),
    show_default=True,
    help="what its holder may do beside reading: draw images; train and synthesize; change what is served. Repeatable",
)
@click.option("--expires", metavar="DURATION", callback=_over_after, help="e.g. 12h, 90d; default: never")
@click.option("--images-per-second", type=click.FloatRange(0, min_open=True), help="default: the server's limit")
@click.option("--concurrent-requests", type=click.IntRange(1), help="default: the server's limit")
@click.option("--unless-any", is_flag=True, help="do nothing where a key exists, for set-ups that start again")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="write the key to this file, for its owner and group, instead; do nothing where it holds a valid one",
)
def create_key(  # noqa: PLR0917 - click passes one argument per option
    name: str,
    state: Path,
    scopes: tuple[Scope, ...],
    expires: datetime | None,
    images_per_second: float | None,
    concurrent_requests: int | None,
    unless_any: bool,
    out: Path | None,
) -> None:
    """Make a key for NAME and print it, once: only its hash is stored.

    \b
    latentd keys create dashboard --state state
    latentd keys create nightly --scope sample --scope train --expires 90d --images-per-second 200
    latentd keys create deploy --scope admin
    latentd keys create prometheus --state state --out prometheus-key
    curl -H "Authorization: Bearer lk_…" http://127.0.0.1:8000/v1/models
    """
    file = KeyFile(state)
    if unless_any and file.all():
        click.echo(f"{file.path} holds a key already", err=True)
        return
    create = partial(
        file.create,
        name,
        scopes=scopes,
        expires=expires,
        images_per_second=images_per_second,
        concurrent_requests=concurrent_requests,
    )
    if out is None:
        click.echo(create())
        return
    if out.exists() and file.find(out.read_text().strip()):
        click.echo(f"{out} holds a valid key already", err=True)
        return
    key = create()
    try:
        write_atomic(out, f"{key}\n".encode(), mode=0o640)
    except OSError as error:
        file.revoke(key.split("_")[1])
        raise click.ClickException(f"--out {out} cannot be written: {error.strerror}") from error


@keys.command("list")
@_STATE
def list_keys(state: Path) -> None:
    """Show id, creation time, scopes, limits and name of every key."""
    for key in KeyFile(state).all():
        click.echo(f"{key.id}  {key.created:%Y-%m-%dT%H:%M:%SZ}  {_rights(key)}  {key.name}")


def _rights(key: StoredKey) -> str:
    parts = [",".join(key.scopes)]
    if key.images_per_second is not None:
        parts.append(f"{key.images_per_second:g} images/s")
    if key.concurrent_requests is not None:
        parts.append(f"{key.concurrent_requests} at once")
    if key.expires is not None:
        parts.append(f"{'EXPIRED' if key.expired else 'expires'} {key.expires:%Y-%m-%dT%H:%M:%SZ}")
    return "  ".join(parts)


@keys.command("revoke")
@click.argument("key_id")
@_STATE
def revoke_key(key_id: str, state: Path) -> None:
    """Remove the key with this id (the eight letters after lk_)."""
    if not KeyFile(state).revoke(key_id):
        raise click.ClickException(f"no key {key_id!r} in {state}; `latentd keys list --state {state}` shows all")
    click.echo(f"revoked {key_id}")
