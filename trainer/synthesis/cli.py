"""`latentd synthesize`. Options are read before anything heavy is loaded; torch only for a judge."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runtime.manifest import Precision
    from runtime.package import Package
    from runtime.sequences import FileFormat
    from runtime.synthesis.drawing import Filter
    from runtime.synthesis.plan import Format
    from runtime.synthesis.workplace import Workplace

_INTERRUPTED = 130


@click.command(
    epilog="""Examples:

\b
  latentd synthesize digits-cgan --per-class 1000 --format folder --out data/digits
  latentd synthesize digits-cgan@1 --per-class 10000 --format webdataset --shard-size 5000 --out data/shards
  latentd synthesize path/to/package --classes 3,8 --per-class 500 --format parquet --truncation 0.8 --out data/hf
  latentd synthesize mine --per-class 1000 --format npz --out data/mine \\
      --drop-duplicates-of my-images --reject-unrecognised my-images
  latentd synthesize faces --count 5000 --format idx --out data/faces
"""
)
@click.argument("package")
@click.option(
    "--format",
    "file_format",
    required=True,
    type=click.Choice(("folder", "webdataset", "parquet", "npz", "idx")),
    help="Kind of data set.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the data set; created."
)
@click.option("--per-class", type=click.IntRange(1), help="Images of each class.")
@click.option("--count", type=click.IntRange(1), help="Images, of a package without classes.")
@click.option("--classes", help="Names or indices, separated by commas. Default: all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Row seed of the first image.")
@click.option("--precision", type=click.Choice(("fp32", "fp16", "int8")), default="fp32", show_default=True)
@click.option(
    "--truncation",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Below 1: less variety, more typical images.",
)
@click.option(
    "--image-format",
    type=click.Choice(("png", "jpeg", "webp", "gif")),
    help="Of folder, webdataset and parquet. Default: png; webp animations for sequences.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    help="Images per file of webdataset and parquet. Default: 10,000, fewer of large images.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes; the data do not depend on it. Default: one per core, at most 4.",
)
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True)
@click.option(
    "--drop-duplicates-of",
    metavar="DATA",
    help="Drop samples that copy an image of DATA or come nearer to one than new real images do.",
)
@click.option(
    "--duplicate-quantile",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of new real images that would count as too near; 0: exact copies alone. Default: 0.01.",
)
@click.option(
    "--reject-unrecognised",
    metavar="DATA",
    help="Drop samples that a judge trained on DATA, or a classifier in an .onnx file, does not recognise.",
)
@click.option(
    "--min-confidence", type=click.FloatRange(0, 1), help="Least probability of the class asked for. Default: 0.5."
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Candidates per image before the filters are taken for too strict.",
)
def synthesize(  # noqa: PLR0917 - click passes one argument per option
    package: str,
    file_format: "Format",
    out: Path,
    per_class: int | None,
    count: int | None,
    classes: str | None,
    seed: int,
    precision: "Precision",
    truncation: float,
    image_format: "FileFormat | None",
    shard_size: int | None,
    workers: int | None,
    store: Path,
    drop_duplicates_of: str | None,
    duplicate_quantile: float | None,
    reject_unrecognised: str | None,
    min_confidence: float | None,
    max_attempts: int,
) -> None:
    """Draw a labelled data set from PACKAGE: a folder, or name or name@version in the store.

    The same command goes on where it was stopped or killed, and ends in the same bytes, with any number of workers.
    DATA is what `latentd train --data` takes, or sklearn-digits. Images that a filter drops are replaced.
    """
    if duplicate_quantile is not None and drop_duplicates_of is None:
        raise click.UsageError("--duplicate-quantile goes with --drop-duplicates-of")
    if min_confidence is not None and reject_unrecognised is None:
        raise click.UsageError("--min-confidence goes with --reject-unrecognised")
    from runtime.errors import PackageError
    from runtime.references import find_package
    from runtime.store import DirectoryStore
    from runtime.synthesis.errors import SynthesisError
    from runtime.synthesis.run import SynthesisOptions, make_plan
    from runtime.synthesis.run import synthesize as run
    from runtime.synthesis.workplace import open_workplace
    from trainer.errors import TrainerError

    options = SynthesisOptions(
        format=file_format,
        per_class=per_class,
        count=count,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        seed=seed,
        precision=precision,
        truncation=truncation,
        image_format=image_format,
        shard_rows=shard_size,
        max_attempts=max_attempts,
    )
    try:
        found = find_package(package, DirectoryStore(store))
        make_plan(found, options)  # what is wrong without filters is said before any is prepared
        with open_workplace(out) as place, ExitStack() as bars:
            filters: list[Filter] = []
            if drop_duplicates_of is not None:
                filters.append(_duplicates(found, place, drop_duplicates_of, duplicate_quantile))
            if reject_unrecognised is not None:
                filters.append(_recognition(found, place, reject_unrecognised, min_confidence))
            plan = make_plan(found, options, filters)
            outcome = run(
                found,
                plan,
                place,
                filters=filters,
                max_attempts=max_attempts,
                workers=workers,
                begin=_bar(plan.rows, bars),
            )
    except (SynthesisError, PackageError, TrainerError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"stopped; the same command goes on in {out}", err=True)
        sys.exit(_INTERRUPTED)
    before = f" ({outcome.resumed:,} were there)" if outcome.resumed else ""
    click.echo(f"{out}: {outcome.rows:,} rows of {found.manifest.reference} as {file_format}{before}")
    for name, dropped in outcome.dropped.items():
        click.echo(f"  --{name}: {dropped:,} dropped and replaced")
    click.echo(f"  described in {out / 'README.md'}, for programs in dataset.json")


def _duplicates(package: "Package", place: "Workplace", data: str, quantile: float | None) -> "Filter":
    from trainer.synthesis.duplicates import QUANTILE, calibrated_filter
    from trainer.synthesis.real_images import open_real_images

    manifest = package.manifest
    split = open_real_images(data, manifest, place.scratch / "images")
    trained_on = manifest.provenance.data
    if split.fingerprint() != trained_on.fingerprint:
        click.echo(f"note: {data} is not the very set of {manifest.reference}, {trained_on.source}", err=True)
    chosen = QUANTILE if quantile is None else quantile
    return calibrated_filter(split, Path(data).name, chosen, place.scratch, trained_on.fingerprint)


def _recognition(package: "Package", place: "Workplace", data: str, confidence: float | None) -> "Filter":
    from trainer.errors import DataError
    from trainer.synthesis.real_images import open_real_images, with_labels_of
    from trainer.synthesis.recognition import CONFIDENCE, classifier_in, judge_of

    manifest, least = package.manifest, CONFIDENCE if confidence is None else confidence
    if not manifest.classes:
        raise DataError(f"--reject-unrecognised: {manifest.reference} has no classes to recognise")
    if Path(data).suffix == ".onnx":
        return classifier_in(Path(data), len(manifest.classes), manifest.output.shape, least)
    split = with_labels_of(open_real_images(data, manifest, place.scratch / "images"), manifest.classes)
    click.echo(f"training a judge on {len(split.train):,} images of {data}", err=True)
    return judge_of(split, Path(data).name, least, place.scratch)


def _bar(rows: int, bars: ExitStack) -> Callable[[int], Callable[[int], object]]:
    """A progress bar that begins at the rows which are there."""

    def begin(resumed: int) -> Callable[[int], object]:
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        bar = tqdm(total=rows, initial=resumed, unit=" images", delay=1.0, mininterval=0.2 if terminal else 10.0)
        return bars.enter_context(bar).update

    return begin
