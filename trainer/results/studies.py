"""The studies by name, in the order of their sections. One is loaded only when it runs."""

from collections.abc import Callable, Iterator

from trainer.results.order import Order
from trainer.results.yardstick import Yardstick

Study = Callable[[Order, Yardstick], Iterator[str]]
"""Yields its section, markdown that begins with a second-level heading, each time it has advanced."""


def _recipes(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.recipes import section

    return section(order, yardstick)


def _seeds(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.seeds import section

    return section(order, yardstick)


def _learning_rates(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.learning_rates.study import section

    yield section(yardstick.data, yardstick.judge, order.figures)


def _modes(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.modes import section

    return section(order, yardstick)


def _speed(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.speed import section

    return section(order, yardstick)


def _scarcity(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.scarcity.study import section

    return section(order, yardstick)


def _compression(order: Order, yardstick: Yardstick) -> Iterator[str]:
    from trainer.results.compression.study import section

    return section(order, yardstick)


STUDIES: dict[str, Study] = {
    "recipes": _recipes,
    "seeds": _seeds,
    "learning-rates": _learning_rates,
    "modes": _modes,
    "speed": _speed,
    "scarcity": _scarcity,
    "compression": _compression,
}
