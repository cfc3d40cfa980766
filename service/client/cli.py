"""`latentd sample`: pictures from a running server into a file."""

import secrets
from pathlib import Path

import click

from service.client.connection import Connection, connection_options


@click.command(
    epilog="""Examples:

\b
  latentd sample --n 16 --out grid.png
  latentd sample --labels 0,1,2,3 --n 10 --seed 0 --out digits.png
  latentd sample --grpc 127.0.0.1:8001 --n 1000 --out images.npy
  latentd sample --model lstm-gan --n 9 --out digits.gif
"""
)
@connection_options
@click.option("--model", help="name, name@version or alias; default: the server's")
@click.option(
    "--n",
    default=16,
    show_default=True,
    type=click.IntRange(1),
    help="images, for each label if there are any",
)
@click.option("--labels", help="classes, by name or index, separated by commas; default: drawn from the seeds")
@click.option("--seed", type=click.IntRange(0), help="row seed of the first image; drawn and printed by default")
@click.option("--truncation", type=float, help="in (0, 1]; less variety, more typical images")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, fp16 or int8")
@click.option("--columns", type=click.IntRange(1), help="images per row; default: one row per label, else a square")
@click.option("--scale", type=click.IntRange(1, 64), help="enlarge every pixel; default: to at least 64 pixels a side")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("samples.png"),
    show_default=True,
    help="a grid (.png, .jpeg, .webp; .gif: sequences side by side) or the array, uint8 NHWC or NTHWC (.npy)",
)
def sample(  # noqa: PLR0917 - click passes one argument per option
    url: str,
    grpc: str | None,
    api_key: str | None,
    ca: Path | None,
    certificate: Path | None,
    model: str | None,
    n: int,
    labels: str | None,
    seed: int | None,
    truncation: float | None,
    precision: str,
    columns: int | None,
    scale: int | None,
    out: Path,
) -> None:
    """Sample images from a running server into one file."""
    import numpy as np
    from tqdm import tqdm

    from runtime.atomic import write_atomic
    from runtime.images import encode_npy
    from runtime.latents import MAX_SEED
    from service.client.pictures import SUFFIXES, encode_picture
    from service.client.transports import ClientError, GrpcTransport, HttpTransport, SampleOptions

    suffix = out.suffix.lower().replace(".jpg", ".jpeg")
    if suffix not in SUFFIXES:
        raise click.BadParameter(f"{out} ends in {out.suffix or 'nothing'}; allowed: {', '.join(SUFFIXES)}")
    classes = [label.strip() for label in labels.split(",")] if labels else None
    wanted = [label for label in classes for _ in range(n)] if classes else None
    total = len(wanted) if wanted else n
    first = secrets.randbelow(MAX_SEED + 2 - total) if seed is None else seed
    connection = Connection(url, grpc, api_key, ca, certificate)
    options = SampleOptions(model=model, truncation=truncation, precision=precision)
    step, parts = 256, []
    try:
        transport = GrpcTransport(connection) if grpc else HttpTransport(connection)
        with tqdm(total=total, unit="image", delay=1.0, leave=False) as progress:
            for start in range(0, total, step):
                count = min(step, total - start)
                some = wanted[start : start + count] if wanted else None
                parts.append(transport.sample(first + start, count, some, options))
                progress.update(count)
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    images = np.concatenate(parts)
    if suffix == ".npy":
        content = encode_npy(images)
    else:
        text = {"seed": str(first), "model": model or "", "labels": labels or ""}
        try:
            content = encode_picture(images, suffix, columns or (n if classes else None), scale, text)
        except ValueError as error:
            raise click.ClickException(f"{out}: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, content)
    click.echo(
        f"{out}: {total} {'images' if images.ndim == 4 else 'sequences'}, row seeds {first} to {first + total - 1}"
    )
