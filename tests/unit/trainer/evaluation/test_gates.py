"""Quality gates: what is met, what is missed, and what is said of expressions that cannot be read."""

import pytest

from runtime.manifest import Measurement
from trainer.errors import ConfigError
from trainer.evaluation import EvaluationConfig
from trainer.evaluation.gates import judge_gates, misses, parse_gate

FOUND = {
    "coverage": Measurement(value=0.6, samples=100),
    "int8.coverage": Measurement(value=0.5, samples=100),
    "frechet_distance": Measurement(value=2.5, samples=100),
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("coverage>=0.6", True),
        ("coverage > 0.6", False),
        ("fp32.coverage<=0.6", True),
        ("int8.coverage>=0.6", False),
        ("frechet_distance<1e1", True),
        ("label_accuracy>=0", False),
    ],
)
def test_a_gate_is_met_or_missed(text: str, met: bool) -> None:
    assert parse_gate(text).judge(FOUND).met is met


def test_what_is_missed_is_said() -> None:
    requirements = judge_gates(["coverage>=0.75", "label_accuracy>0.9", "coverage>=0.1", "coverage>=0.75"], FOUND)
    assert len(requirements) == 3
    assert misses(requirements) == ["misses coverage>=0.75: 0.6", "misses label_accuracy>0.9: not measured"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("covrage>=0.6", "no measure 'covrage'; did you mean 'coverage'?"),
        ("frechet<3", "no measure 'frechet'; did you mean 'frechet_distance'?"),
        ("int4.coverage>=0.6", "no measure 'int4.coverage'; did you mean 'coverage'?"),
        ("coverage", "write MEASURE>=NUMBER, with >=, <=, > or <, e.g. 'coverage>=0.6'"),
        ("coverage==1", "write MEASURE>=NUMBER"),
        ("coverage>=much", "'much' is not a number"),
        ("coverage>=nan", "nothing is above or below nan"),
    ],
)
def test_a_bad_expression_is_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_gate(text)
    assert message in str(refused.value)


def test_a_recipe_refuses_them_before_training() -> None:
    with pytest.raises(ValueError, match="no measure 'covrage'"):
        EvaluationConfig(require=("covrage>=0.6",))
    assert EvaluationConfig(require=("coverage >= 0.60",)).require == ("coverage>=0.6",)
    with pytest.raises(ValueError, match="features: 'vgg'; allowed: judge, pixels, inception=FILE"):
        EvaluationConfig(features="vgg")
