"""Synthesized data sets in tests: small ones made in the test's process, and how two folders are compared."""

from collections.abc import Sequence
from pathlib import Path

from runtime.package import Package
from runtime.synthesis.drawing import Filter
from runtime.synthesis.plan import Plan
from runtime.synthesis.run import Outcome, SynthesisOptions, make_plan, synthesize
from runtime.synthesis.workplace import open_workplace


def plan_of(
    package: Package, options: SynthesisOptions, *, part_rows: int | None = None, filters: Sequence[Filter] = ()
) -> Plan:
    """The plan of `options`, in parts so small that even a small set has several."""
    plan = make_plan(package, options, filters)
    return plan if part_rows is None else plan.model_copy(update={"part_rows": part_rows})


def synthesize_into(
    folder: Path,
    package: Package,
    options: SynthesisOptions,
    *,
    part_rows: int | None = None,
    filters: Sequence[Filter] = (),
    max_attempts: int = 100,
    workers: int = 1,
) -> Outcome:
    """A data set in `folder`."""
    plan = plan_of(package, options, part_rows=part_rows, filters=filters)
    with open_workplace(folder) as place:
        return synthesize(package, plan, place, filters=filters, max_attempts=max_attempts, workers=workers)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by its path, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
