"""Settings of the server: flag over environment over file over default, checked before anything starts."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.cores import available_cores

ENVIRONMENT_PREFIX = "LATENTD_"
CLIENT_VARIABLES = frozenset({"LATENTD_API_KEY", "LATENTD_URL", "LATENTD_CA"})
"""Read by the client commands; the server lets them pass."""


class SettingsError(ValueError):
    """A setting that is unknown or has a value that is not allowed; the message names it and what is."""


def _split(value: object) -> object:
    """Names separated by commas, as a flag and a variable have them."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """What `latentd serve` can be told. Field `store` is flag `--store` and variable `LATENTD_STORE`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    store: Path = Field(default=Path("models"), description="folder of model packages")
    state: Path = Field(default=Path("state"), description="folder for keys and for server.json (addresses, pid)")
    host: str = Field(default="127.0.0.1", description="address to listen on; beyond loopback needs an API key")
    http_port: int = Field(default=8000, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    grpc_port: int = Field(default=8001, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    default_model: str | None = Field(
        default=None, description="model of requests that name none; by default the only one in the store"
    )
    max_images: int = Field(default=1024, ge=1, le=100_000, description="most images in one request")
    max_stream_images: int = Field(
        default=100_000, ge=1, le=10_000_000, description="most images in one request that is answered as a stream"
    )
    max_output_bytes: int = Field(
        default=256 << 20, ge=1 << 20, description="most pixels of one request, in bytes before encoding"
    )
    queue_limit: int = Field(default=8192, ge=1, description="most rows (images) waiting; beyond it requests get 429")
    timeout_ms: int = Field(
        default=30_000, ge=1, description="longest a request may take, in ms; its own deadline may be shorter"
    )
    max_body_bytes: int = Field(
        default=16 << 20, ge=1024, description="largest request body, in bytes, inflated where it is compressed"
    )
    images_per_second: float | None = Field(
        default=None,
        gt=0,
        description="most images per second of one API key without a limit of its own; none by default",
    )
    concurrent_requests: int | None = Field(
        default=None, ge=1, description="most open requests of one API key without a limit of its own; none by default"
    )
    patience_seconds: float = Field(
        default=20.0,
        gt=0,
        description="slow clients: a body and an answer may take this long, and 1 s more per 20 kB; an upload over "
        "gRPC may pause so long",
    )
    allowed_hosts: Names | None = Field(
        default=None,
        description="names in the Host header, separated by commas; by default any where a key is needed, else "
        "loopback alone, so that no web page reaches the server under a name of its own",
    )
    cors_origins: Names | None = Field(
        default=None,
        description="web pages of other sites that may call, e.g. https://example.org, separated by commas, or *; "
        "by default none",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the certificate with its chain; by default no TLS. Read again on change"
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its private key; by default no TLS")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of authorities that clients need a certificate of; by default they need none",
    )
    inference_threads: int = Field(
        default_factory=available_cores,
        ge=1,
        description="batches in flight; by default one for each core, as far as a container's CPU limit allows",
    )
    batch_ms: float = Field(
        default=4.0, gt=0, description="a batch computes this long at most, in ms; four times as long where many wait"
    )
    max_batch: int = Field(default=64, ge=1, le=1024, description="most rows in a batch")
    batch_delay_ms: float = Field(
        default=0.0, ge=0, le=1000, description="wait for more rows while the device is idle, in ms"
    )
    database: str | None = Field(
        default=None,
        description="URL of the database of files and jobs, sqlite:///PATH or postgresql://USER@HOST/NAME; by default "
        "SQLite in the state folder",
    )
    file_store: str | None = Field(
        default=None, description="folder, or URL as s3://BUCKET/PREFIX, of uploads and data sets; by default in state"
    )
    job_slots: int = Field(
        default=1, ge=0, le=64, description="jobs that run here at once; 0 leaves them to `latentd worker`"
    )
    job_runner: Literal["local", "ray"] = Field(
        default="local", description="where processes of jobs run: on this machine, or on a Ray cluster"
    )
    ray_address: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+$",
        description="of the Ray cluster's dashboard, http://HOST:8265; by default none",
    )
    ray_token: str | None = Field(
        default=None,
        repr=False,
        description="where the cluster asks for one; by default none",
    )
    job_cores: int | None = Field(default=None, ge=1, description="cores that a job may use; by default all")
    job_gpus: int = Field(default=0, ge=0, description="GPUs that Ray gives to a job; here, jobs take turns")
    job_memory_bytes: int | None = Field(
        default=None, ge=256 << 20, description="most private memory of a job's process, in bytes; by default unlimited"
    )
    job_lease_seconds: float = Field(
        default=15.0, ge=1, description="a job whose runner has not been heard of for so long is run by another"
    )
    max_file_bytes: int = Field(default=2 << 30, ge=1024, description="largest upload, in bytes")
    max_file_images: int = Field(default=80_000, ge=1, description="most images in an upload")
    file_days: float = Field(default=30.0, gt=0, description="uploads and data sets are deleted after so many days")
    job_days: float = Field(default=90.0, gt=0, description="jobs are forgotten so many days after their end")
    failed_job_days: float = Field(
        default=7.0, ge=0, description="checkpoints of failed jobs are kept for so many days"
    )
    keep_versions: int = Field(
        default=0, ge=0, description="newest versions of a fine-tuned model that are kept; 0: all of them"
    )
    reserve_bytes: int = Field(default=512 << 20, ge=0, description="bytes of the disk that uploads leave free")
    poll_seconds: float = Field(default=5.0, ge=0, description="look for new versions this often; 0: never")
    drain_seconds: float = Field(default=30.0, ge=0, description="longest wait for requests in flight on stop")
    drain_notice_seconds: float = Field(
        default=0.5, ge=0, description="time between 'not ready' and refusing connections, for load balancers"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least severe line")
    log_format: Literal["console", "json"] = Field(
        default="console", description="log lines for people, or one JSON object each"
    )
    access_log: bool = Field(default=True, description="a log line for each request")
    trace_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+",
        description="OTLP/HTTP collector for traces, e.g. http://collector:4318; by default nothing is traced",
    )
    trace_ratio: float = Field(
        default=1.0, ge=0, le=1, description="share of requests to trace; those with a traced caller always are"
    )

    @model_validator(mode="after")
    def _one_request_fits(self) -> "Settings":
        if self.max_images > self.queue_limit:
            raise ValueError(f"max_images ({self.max_images}) is above queue_limit ({self.queue_limit})")
        return self

    @model_validator(mode="after")
    def _ray_has_an_address(self) -> "Settings":
        if self.job_runner == "ray" and self.ray_address is None:
            raise ValueError("job_runner ray needs ray_address beside it")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key are set together or not at all")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key beside it")
        return self


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path | None = None
) -> Settings:
    """Merge the sources and check the result.

    Args:
        flags: field name → value; None means not given.
        environment: variables; those that begin with ``LATENTD_`` are settings.
        config_file: TOML with top-level keys named like the fields.

    Raises:
        SettingsError: naming the setting, where it came from, its value and what is allowed.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, values in (
        (f"file {config_file}", _read_file(config_file)),
        ("environment", _from_environment(environment)),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    ):
        for name, value in values.items():
            if name not in Settings.model_fields:
                near = difflib.get_close_matches(name, Settings.model_fields, 1)
                advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(Settings.model_fields)}"
                shown = f"{ENVIRONMENT_PREFIX}{name.upper()}" if source == "environment" else name
                raise SettingsError(f"unknown setting {shown} ({source}): {advice}")
            merged[name], origin[name] = value, source
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if not name:
            raise SettingsError(first["msg"].removeprefix("Value error, ")) from error
        raise SettingsError(
            f"setting {name} ({origin.get(name, 'default')}): {first['msg']}, got {first['input']!r}"
        ) from error


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"config file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise SettingsError(f"config file {path} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in CLIENT_VARIABLES
    }
