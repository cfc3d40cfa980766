"""The section of all recipes holds what was measured, also of runs that failed."""

from tests.unit.trainer.results.numbers import GENERATED, MOTION, REAL
from trainer.results.recipe_tables import Frame, Row, render

FRAME = Frame("Trained for 10 min.", 5_000, 60_000, REAL, "../docs/results", {"wgan": "blurred"})


def columns(text: str) -> set[int]:
    """How many cells the rows of all tables have."""
    return {line.count("|") - 1 for line in text.splitlines() if line.startswith("|")}


def test_a_row_holds_what_was_measured() -> None:
    row = Row("cgan", 5.0, 2, 60_000, 60.0, 75.4, 812.3, measured=GENERATED, picture="cgan.png")
    text = render(FRAME, [row], [])
    assert "| *real images* | | | | | | 2 | 1.00 | 0.900 | 0.910 | 1.000 | 0.970 | ±0.8% | 99.1% | 99.1% | |" in text
    assert (
        "| `cgan` | 5, one core | 1,000 | 60,000 | 75 s | 812 MiB | 5 | 2.50 | 0.800 | 0.700 | 1.100 | 0.600 | ±3.1% "
        "| 98.5% | 96.4% | [grid](<../docs/results/cgan.png>) |"
    ) in text
    assert columns(text) == {16}
    assert "sequences/s" not in text


def test_a_run_that_failed_says_so() -> None:
    text = render(FRAME, [Row("gan-mlp", 5.0, 2, 100, 1.0, 2.0, 300.0, "collapsed 2 times")], [])
    assert "- `gan-mlp`: collapsed 2 times" in text
    assert columns(text) == {16}


def test_sequences_have_a_table_of_their_own() -> None:
    moving = Row("lstm-gan", 5.0, 1, 6_000, 60.0, 75.4, 812.3, motion=MOTION, picture="lstm-gan.gif")
    text = render(FRAME, [], [moving, Row("rvae-gan", 5.0, 1, 100, 1.0, 2.0, 300.0, "collapsed 2 times")])
    assert (
        "| `lstm-gan` | 5, all cores | 100 | 6,000 | 75 s | 812 MiB | 1.23 (0.021) | 0.90 (1.01) | 0.80 (0.99) "
        "| 90.0% (97.0%) |  | [animation](<../docs/results/lstm-gan.gif>) |"
    ) in text
    assert columns(text) == {12}
    assert "real images" not in text


def test_remarks_and_reconstructions_stand_beneath() -> None:
    rows = [
        Row("wgan", 5.0, 1, 1, 1.0, 1.0, 1.0, measured=GENERATED),
        Row("vae-gan", 5.0, 1, 1, 1.0, 1.0, 1.0, measured=GENERATED, reconstruction=0.2512),
    ]
    text = render(FRAME, rows, [])
    assert "\nWhat the pictures show:\n\n- `wgan`: blurred\n" in text
    assert "- `vae-gan`: 0.251\n" in text
    assert "What the pictures show" not in render(FRAME, rows[1:], [])
