"""Studies, one after the other, into the file of results."""

from pathlib import Path

import click

from trainer.config import parse
from trainer.data import DataConfig, open_data
from trainer.evaluation.judge import trained_judge
from trainer.results.document import Document
from trainer.results.order import Order
from trainer.results.studies import STUDIES
from trainer.results.yardstick import Yardstick


def write_results(order: Order, out: Path, studies: tuple[str, ...]) -> None:
    """Run `studies`, and compose `out` of their sections and those that were kept.

    Raises:
        TrainerError: what the user can mend, in one sentence.
    """
    images = open_data(parse(DataConfig, {"path": str(order.data_path)}, "--data"))
    judge = trained_judge(images, order.folder)
    yardstick = Yardstick(images, judge, order.samples)
    accuracy = judge.accuracy(images.held_out)
    document = Document(out, order.figures, tuple(STUDIES), order.data_path.name, accuracy)
    for name in studies:
        click.echo(f"study {name}")
        for section in STUDIES[name](order, yardstick):
            document.keep(name, section)
    click.echo(f"wrote {out}")
