"""`latentd bench`: put a running server under load, and say what its clients would feel."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from service.client.connection import Connection, connection_options

if TYPE_CHECKING:
    from service.client.load import Load
    from service.client.targets import Wanted

_FILE = click.Path(path_type=Path, dir_okay=False)
_ROUNDS = 3


@dataclass(frozen=True)
class Arrivals:
    """When requests are sent: a closed loop of `clients`, or `rate` per second where that is given."""

    clients: int
    rate: float | None
    even: bool
    seconds: float
    warm_up: float

    def __str__(self) -> str:
        if self.rate is None:
            return f"{self.clients} clients"
        return f"{self.rate:g} arrivals/s ({'even' if self.even else 'Poisson'})"


@click.command(
    epilog="""A closed loop (--concurrency) is a number of clients that wait for their answers; it finds the throughput.
An open loop (--rate) is arrivals that wait for nobody, as real clients are; it finds the latency at that load, counted
from the moment a request was due.

Examples:

\b
  latentd bench --concurrency 8 --seconds 20
  latentd bench --rate 200 --n 4 --json load.json --plot load.png
  latentd bench --grpc 127.0.0.1:8001 --rate 500 --precision int8

\b
  latentd bench --share-of digits-cgan --store models --grpc 127.0.0.1:8001 --seconds 2

The last measures, on the server's machine, how much of onnxruntime's own throughput reaches the clients, over
transports, concurrency and request sizes; --seconds is then the length of each of its measurements.
"""
)
@connection_options
@click.option("--model", help="name, name@version or alias; default: the server's")
@click.option("--n", default=1, show_default=True, type=click.IntRange(1), help="images per request")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "fp16", "int8"]))
@click.option(
    "--format",
    "file_format",
    default="raw",
    show_default=True,
    type=click.Choice(["raw", "png", "jpeg", "webp"]),
    help="raw measures the model, the others their encoding too",
)
@click.option("--concurrency", type=click.IntRange(1), help="closed loop: clients  [default: 8, without --rate]")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="open loop: requests per second")
@click.option("--even", is_flag=True, help="open loop: evenly spaced arrivals instead of random (Poisson)")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--warm-up", default=1.0, show_default=True, type=click.FloatRange(0), help="seconds that do not count")
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0, min_open=True), help="seconds")
@click.option("--share-of", metavar="PACKAGE", help="compare with onnxruntime alone on this package, in many cases")
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True)
@click.option("--json", "json_file", type=_FILE, help="write everything that was found, histogram included")
@click.option("--plot", "plot_file", type=_FILE, help="write the histogram as a PNG")
def bench(  # noqa: PLR0917 - click passes one argument per option
    url: str,
    grpc: str | None,
    api_key: str | None,
    ca: Path | None,
    certificate: Path | None,
    model: str | None,
    n: int,
    precision: str,
    file_format: str,
    concurrency: int | None,
    rate: float | None,
    even: bool,
    seconds: float,
    warm_up: float,
    timeout: float,
    share_of: str | None,
    store: Path,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure throughput and latency of a running server."""
    if rate is not None and concurrency is not None:
        raise click.UsageError("--concurrency is a closed loop, --rate an open one: give one of them")
    if share_of is not None:
        _share(
            Connection(url, grpc, api_key, ca, certificate),
            share_of,
            store,
            precision=precision,
            seconds=seconds,
            json_file=json_file,
        )
        return
    from service.client.targets import Wanted

    loop = Arrivals(concurrency or 8, rate, even=even, seconds=seconds, warm_up=warm_up)
    wanted = Wanted(model, n, precision, file_format, timeout)
    connection = Connection(url, grpc, api_key, ca, certificate)
    _tell(_run(connection, wanted, loop), connection, wanted, loop, json_file=json_file, plot_file=plot_file)


def _run(connection: Connection, wanted: "Wanted", loop: Arrivals) -> "Load":
    """The load test, under a progress bar."""
    import asyncio

    from tqdm import tqdm

    from service.client.load import closed_loop, open_loop
    from service.client.targets import GrpcTarget, HttpTarget

    address, total = connection.grpc or connection.url, loop.warm_up + loop.seconds
    seconds, warm_up = loop.seconds, loop.warm_up

    async def run() -> "Load":
        target = GrpcTarget(connection, wanted) if connection.grpc else HttpTarget(connection, wanted)
        with tqdm(
            total=round(total, 1), unit="s", bar_format="{l_bar}{bar}| {n:.1f}/{total} s", delay=1.0, leave=False
        ) as bar:

            def show(passed: float) -> None:
                bar.update(min(passed, total) - bar.n)

            try:
                first = await target.call(0)
                if first != "ok":
                    raise click.ClickException(_refused(address, first))
                if loop.rate is None:
                    return await closed_loop(
                        target, concurrency=loop.clients, seconds=seconds, warm_up=warm_up, progress=show
                    )
                return await open_loop(
                    target, rate=loop.rate, even=loop.even, seconds=seconds, warm_up=warm_up, progress=show
                )
            finally:
                await target.close()

    try:
        return asyncio.run(run())
    except OSError as error:
        raise click.ClickException(f"{error.filename or address}: {error.strerror or error}") from error


def _tell(
    load: "Load",
    connection: Connection,
    wanted: "Wanted",
    loop: Arrivals,
    *,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """What was found, on the terminal and in files."""
    import json

    from runtime.atomic import write_atomic
    from service.client.bench_report import plot, report
    from service.client.latencies import Histogram, duration, text_histogram

    address, transport = connection.grpc or connection.url, "gRPC" if connection.grpc else "HTTP"
    content = report(load, wanted, wanted.n, address=address, transport=transport, loop=str(loop))
    answers = ", ".join(f"{count} {word}" for word, count in content["answers"].items()) or "none"
    click.echo(f"{transport} {address}, {loop}, {load.seconds:.1f} s, {wanted.n} images per request")
    click.echo(f"answers: {answers}")
    click.echo(f"{load.rate:.1f} requests/s, {content['images_per_second']:.1f} images/s")
    if load.latencies:
        click.echo(", ".join(f"{name} {duration(value)}" for name, value in content["latency_seconds"].items()))
        found = content["histogram"]
        click.echo(text_histogram(Histogram(found["edges_seconds"], found["counts"])))
    for path, made in ((json_file, json.dumps(content, indent=2).encode() + b"\n"), (plot_file, plot(content))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, made)
            click.echo(f"wrote {path}")
    if not load.latencies:
        raise click.ClickException("no request was answered with images")


def _share(
    connection: Connection, reference: str, store: Path, *, precision: str, seconds: float, json_file: Path | None
) -> None:
    """`--share-of`: a table, and everything behind it as JSON."""
    import json
    from dataclasses import asdict

    from tqdm import tqdm

    from runtime.atomic import write_atomic
    from runtime.errors import PackageError
    from runtime.manifest import Precision
    from runtime.references import find_package
    from runtime.store import DirectoryStore
    from service.client.lean_client import UnexpectedAnswer
    from service.client.share import CASES, measure, table

    try:
        package = find_package(reference, DirectoryStore(store))
    except PackageError as error:
        raise click.ClickException(str(error)) from error
    chosen: Precision = next((name for name in get_args(Precision) if name == precision), "fp32")
    cases = sum(case.transport == "HTTP" or connection.grpc is not None for case in CASES)
    with tqdm(total=_ROUNDS * cases, unit="case", leave=False) as bar:
        try:
            shares = measure(connection, package, chosen, seconds=seconds, rounds=_ROUNDS, progress=bar.update)
        except (OSError, UnexpectedAnswer) as error:
            raise click.ClickException(f"{connection.url}: {error}") from error
    click.echo(table(shares, package, chosen))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        content = [{**asdict(share), "share": share.share} for share in shares]
        write_atomic(json_file, json.dumps(content).encode() + b"\n")
        click.echo(f"wrote {json_file}")


def _refused(address: str, word: str) -> str:
    if word in ("401", "UNAUTHENTICATED"):
        return f"{address} asks for a key: --api-key or LATENTD_API_KEY"
    if word.isdecimal() or word.isupper():
        return f"{address} answered {word} to the first request; `latentd sample` with the same model says why"
    return f"no answer from {address} ({word}). Is `latentd serve` running there?"
