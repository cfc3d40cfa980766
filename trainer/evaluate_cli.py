"""`latentd evaluate`. Options are read before torch is loaded, so that help is instant."""

import os
import sys
from pathlib import Path

import click


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentd"


@click.command(
    epilog="""Examples:

\b
  latentd evaluate digits-cgan --store models
  latentd evaluate mnist@2 --store models --data path/to/mnist --samples 5000
  latentd evaluate models/mine/1 --data my-images --features inception=inception-2015-12-05.pt
  latentd evaluate mine@1 --data my-images --require 'coverage>=0.6' --require 'near_copies<=0.05'

\b
Exit codes: 0 measured, 1 and 2 an error, 3 measured and a requirement is missed.
"""
)
@click.argument("package")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True,
    help="Where PACKAGE is looked for unless it is a package's folder.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path),
    help="The images it was trained on, as for `latentd train`. Default: scikit-learn's digits, if it was these.",
)  # fmt: skip
@click.option(
    "--features", metavar="CHOICE",
    help="What images are compared by: judge (a small classifier, trained on the training images), pixels (their "
    "principal components), inception=FILE, FILE.pt (TorchScript) or FILE.onnx. Default: judge, or pixels where there "
    "are no classes, and for sequences.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(20, 100_000), default=10_000, show_default=True, help="Images to generate."
)
@click.option(
    "--first-seed", type=click.IntRange(0, 2**53 - 200_000), default=1_000_000, show_default=True,
    help="Row seed of the first of them.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(("fp32", "fp16", "int8")), default="fp32", show_default=True,
    help="The graph that is measured.",
)  # fmt: skip
@click.option(
    "--require", "requirements", multiple=True, metavar="MEASURE>=NUMBER",
    help="Quality gate, with >=, <=, > or <; may be repeated. Default: those that the package has.",
)  # fmt: skip
@click.option(
    "--cache", type=click.Path(path_type=Path, file_okay=False), default=_default_cache,
    show_default="~/.cache/latentd",
    help="Where trained judges are kept, and decoded images that do not fit in memory.",
)  # fmt: skip
def evaluate(  # noqa: PLR0917 - click passes one argument per option
    package: str,
    store: Path,
    data: Path | None,
    features: str | None,
    samples: int,
    first_seed: int,
    precision: str,
    requirements: tuple[str, ...],
    cache: Path,
) -> None:
    """Measure PACKAGE (a folder, a name, or name@version) against real images.

    Writes report.html and evaluation.json beside the package, and the measures into its manifest. Each has a 95 %
    interval, and beside it what real images score.
    """
    from runtime.errors import PackageError
    from trainer.errors import TrainerError
    from trainer.evaluation.gates import MISSED_REQUIREMENTS, misses
    from trainer.package_evaluation import EvaluationRequest, evaluate_package
    from trainer.report.evidence import REPORT_FILE
    from trainer.reports import evaluation_table

    request = EvaluationRequest(
        package, store, data, features, samples, first_seed, precision, requirements, cache  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        measured, found = evaluate_package(request, click.echo)
    except (TrainerError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    click.echo(evaluation_table(found.measures))
    for sign in found.copying:
        click.echo(f"copies training images: {sign}")
    click.echo(f"report: {measured.path / REPORT_FILE}")
    missed = misses(measured.manifest.requirements)
    for line in missed:
        click.echo(line)
    sys.exit(MISSED_REQUIREMENTS if missed else 0)
