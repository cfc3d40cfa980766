"""`latentd quantize` and `latentd prune`. Options are read before torch is loaded, so that help is instant."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

import click

if TYPE_CHECKING:
    from runtime.package import Package
    from trainer.compress.fidelity import BarsConfig

F = TypeVar("F", bound=Callable[..., Any])

_MISSED = 3  # as for `latentd train`


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentd"


class _Common(TypedDict):
    """Options that both commands have."""

    store: Path
    name: str | None
    data: str | None
    samples: int
    min_psnr: float
    max_frechet_increase: float
    max_accuracy_loss: float
    force: bool
    cache: Path


def _common(max_frechet_increase: float) -> Callable[[F], F]:
    folder = click.Path(path_type=Path, file_okay=False)
    options = (
        click.option(
            "--store", type=folder, default=Path("models"), show_default=True,
            help="Where PACKAGE is looked for unless it is a package's folder, and where the new version goes.",
        ),
        click.option("--name", help="Name of the new version. Default: the package's."),
        click.option(
            "--data",
            help="Real images, as for `latentd train`, or sklearn-digits: adds the Fréchet distance to them and the "
            "label accuracy, and their bars.",
        ),
        click.option(
            "--samples", type=click.IntRange(20, 100_000), default=2_000, show_default=True,
            help="Images on fresh latents that are compared.",
        ),
        click.option(
            "--min-psnr", type=click.FloatRange(min=0), default=20.0, show_default=True, metavar="DB",
            help="Bar: least signal-to-noise ratio against the images of the original.",
        ),
        click.option(
            "--max-frechet-increase", type=click.FloatRange(min=0), default=max_frechet_increase, show_default=True,
            help="Bar, with --data: share by which the Fréchet distance to real images may grow.",
        ),
        click.option(
            "--max-accuracy-loss", type=click.FloatRange(0, 1), default=0.01, show_default=True,
            help="Bar, with --data: loss of label accuracy.",
        ),
        click.option("--force", is_flag=True, help="Publish what misses a bar, marked; the exit code is 3 then."),
        click.option(
            "--cache", type=folder, default=_default_cache, show_default="~/.cache/latentd",
            help="Where trained judges are kept, and decoded images that do not fit in memory.",
        ),
    )  # fmt: skip

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command(
    epilog="""Examples:

\b
  latentd quantize digits-cgan --method int8
  latentd quantize mnist@2 --method int8 --data path/to/mnist --store models
  latentd quantize mine --method int8-weights --bits 4 --min-psnr 25
  latentd quantize models/mine/1 --method fp16 --name mine-small

\b
Methods:
  int8          convolutions and dense layers in 8 bits, calibrated on its own images: a quarter of the size, about
                three times as fast on processors with VNNI
  int8-weights  weights stored in 8 or 4 bits: a quarter or an eighth of the size, as fast as fp32
  int8-dynamic  LSTMs in 8 bits; an image depends on those it is drawn with, so it is marked as not reproducible
  fp16          weights stored in 16 bits: half of the size, as fast as fp32

\b
Exit codes: 0 published, 1 and 2 an error and nothing published, 3 published below a bar (--force).
"""
)
@click.argument("package")
@click.option(
    "--method", required=True, type=click.Choice(("int8", "int8-weights", "int8-dynamic", "fp16")), help="See below."
)
@click.option("--bits", type=click.Choice(("8", "4")), help="Of a weight, with int8-weights.  [default: 8]")
@click.option(
    "--calibration-images", type=click.IntRange(8, 65_536),
    help="Generated images whose activations int8 looks at.  [default: 512]",
)  # fmt: skip
@click.option(
    "--reduce-range", is_flag=True, help="7-bit weights with int8, for processors without VNNI, where 8 can overflow."
)
@_common(max_frechet_increase=0.1)
def quantize(
    package: str,
    method: str,
    bits: str | None,
    calibration_images: int | None,
    reduce_range: bool,
    **common: Unpack[_Common],
) -> None:
    """Store or compute PACKAGE (a folder, a name, or name@version) in fewer bits, and publish the next version.

    The graph is compared with fp32 on fresh latents and run in a process of its own before anything is published; what
    misses a bar is not. The version it was made from stays as it is.
    """
    if bits is not None and method != "int8-weights":
        raise click.UsageError(f"--bits goes with --method int8-weights, not {method}")
    for option, given in (("--calibration-images", calibration_images is not None), ("--reduce-range", reduce_range)):
        if given and method != "int8":
            raise click.UsageError(f"{option} goes with --method int8, not {method}")
    with _answered():
        from pydantic import TypeAdapter

        from trainer.compress.quantization import METHODS, QuantizationConfig
        from trainer.compress.quantizing import QuantizeRequest, quantize_package

        options = {"bits": bits and int(bits), "images": calibration_images, "reduce_range": reduce_range or None}
        settings = {name: value for name, value in options.items() if value is not None}
        config: METHODS = TypeAdapter(QuantizationConfig).validate_python({"method": method, **settings})
        request = QuantizeRequest(package, common["store"], config, _bars(common), **_rest(common))
        published = quantize_package(request, click.echo)
    sys.exit(_exit_code(published))


@click.command(
    epilog="""Examples:

\b
  latentd prune mnist --ratio 0.5 --data path/to/mnist
  latentd prune mnist@1 --ratio 0.3 --steps 10000 --criterion norm
  latentd prune mnist && latentd quantize mnist --method int8

\b
Exit codes: 0 published, 1 and 2 an error and nothing published, 3 published below a bar (--force).
"""
)
@click.argument("package")
@click.option(
    "--ratio", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5, show_default=True,
    help="Share of the channels of every layer that goes. Half of them: a quarter of the size, about three times as "
    "fast.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(0, 10_000_000), default=3_000, show_default=True,
    help="Of distillation: the pruned generator learns to draw what the whole one draws. No images are needed.",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(2, 65_536), default=64, show_default=True, help="Latents per step.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), default=2e-3, show_default=True, help="Of the steps."
)
@click.option(
    "--criterion", type=click.Choice(("scale", "norm")),
    help="Channels that stay: of the largest batch-norm scale, or the largest weights.  [default: scale]",
)  # fmt: skip
@click.option(
    "--unstructured", is_flag=True,
    help="Set that share of single weights to zero instead. Saves neither memory nor time, only download.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the latents.")
@click.option("--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True)
@_common(max_frechet_increase=0.2)
def prune(  # noqa: PLR0917 - click passes one argument per option
    package: str,
    ratio: float,
    steps: int,
    batch_size: int,
    learning_rate: float,
    criterion: str | None,
    unstructured: bool,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    **common: Unpack[_Common],
) -> None:
    """Take channels out of the generator of PACKAGE (a folder, a name, or name@version), teach what remains to draw
    what it drew, and publish the next version.

    The teacher is the whole generator, from the package's checkpoint; the package's own discriminator helps where it
    can. The new version is an ordinary, smaller package: it can be quantized, pruned again and trained on.
    """
    if criterion is not None and unstructured:
        raise click.UsageError("--criterion is about channels; --unstructured takes single weights by magnitude")
    with _answered():
        from trainer.compress.pruning.config import ChannelPruningConfig, DistillationConfig, WeightPruningConfig
        from trainer.compress.pruning.package import PruneRequest, prune_package

        lesson = DistillationConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
        config: ChannelPruningConfig | WeightPruningConfig
        if unstructured:
            config = WeightPruningConfig(ratio=ratio, distillation=lesson)
        else:
            kept: Literal["scale", "norm"] = "norm" if criterion == "norm" else "scale"
            config = ChannelPruningConfig(ratio=ratio, criterion=kept, distillation=lesson)
        request = PruneRequest(package, common["store"], config, _bars(common), **_rest(common), device=device)
        published = prune_package(request, click.echo)
    sys.exit(_exit_code(published))


def _bars(common: _Common) -> "BarsConfig":
    from trainer.compress.fidelity import BarsConfig

    return BarsConfig(
        min_psnr_db=common["min_psnr"],
        max_frechet_increase=common["max_frechet_increase"],
        max_accuracy_loss=common["max_accuracy_loss"],
    )


def _rest(common: _Common) -> dict[str, Any]:
    return {name: common[name] for name in ("samples", "cache", "name", "data", "force")}


def _exit_code(package: "Package") -> int:
    return _MISSED if package.manifest.missed_bars() else 0


@contextmanager
def _answered() -> Iterator[None]:
    """Errors that a user can mend, in one sentence."""
    from runtime.errors import PackageError
    from trainer.errors import TrainerError

    try:
        yield
    except (TrainerError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
