"""Samples that are not recognised as their class are dropped: by a judge trained on real images, or a file."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trainer.data import DataConfig, DataSplit, open_data
from trainer.errors import DataError
from trainer.evaluation import judge as judge_module
from trainer.synthesis.recognition import RecognitionFilter, as_probabilities, classifier_in, judge_of


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    return open_data(DataConfig())


@pytest.fixture(scope="module")
def judge(digits: DataSplit, tmp_path_factory: pytest.TempPathFactory) -> RecognitionFilter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge_module, "_STEPS_LEAST", 300)
        patch.setattr(judge_module, "_EPOCHS", 0)
        return judge_of(digits, "digits", 0.5, tmp_path_factory.mktemp("judge"))


def test_real_digits_pass_as_what_they_are(digits: DataSplit, judge: RecognitionFilter) -> None:
    images, labels = digits.held_out.images, digits.held_out.labels
    assert judge(images, labels).mean() > 0.9
    assert judge(images, (labels + 1) % 10).mean() < 0.05
    assert judge(np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8), labels).mean() < 0.3


def test_confidence_is_the_probability_of_the_class(digits: DataSplit, judge: RecognitionFilter) -> None:
    images, labels = digits.held_out.images, digits.held_out.labels
    confidences = judge.confidences(images, labels)
    assert np.array_equal(judge(images, labels), confidences >= 0.5)
    all_of_them = sum(judge.confidences(images, np.full(len(images), label)) for label in range(10))
    assert all_of_them == pytest.approx(np.ones(len(images)))


def test_it_travels_to_another_process(digits: DataSplit, judge: RecognitionFilter) -> None:
    expected = judge(digits.held_out.images, digits.held_out.labels)
    sent = pickle.dumps(judge)
    assert len(sent) < 4_000
    again = pickle.loads(sent)  # noqa: S301 - our own
    assert np.array_equal(again(digits.held_out.images, digits.held_out.labels), expected)


def test_it_says_what_real_images_it_would_drop(digits: DataSplit, judge: RecognitionFilter) -> None:
    said = judge.describe()
    assert (said["fingerprint"], said["min_confidence"]) == (digits.fingerprint(), 0.5)
    dropped = 1 - judge(digits.held_out.images, digits.held_out.labels).mean()
    assert said["real_dropped"] == pytest.approx(dropped, abs=1e-4)
    assert said["judge_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], [[0.25, 0.75], [1.0, 0.0]]),
        ([[0.0, 0.0], [1000.0, 0.0]], [[0.5, 0.5], [1.0, 0.0]]),
        ([[-1.0, -1.0]], [[0.5, 0.5]]),
    ],
)
def test_scores_may_be_logits_or_probabilities(scores: list[list[float]], expected: list[list[float]]) -> None:
    assert as_probabilities(np.array(scores, np.float32)) == pytest.approx(np.array(expected))


def brightness(path: Path, *, whole: bool, classes: int = 2) -> Path:
    """A classifier by brightness: the last class's logit is the sum of 16 levels in 0 … 1, less 8; the others' is 0."""
    taken = TensorProto.UINT8 if whole else TensorProto.FLOAT
    shape: list[str | int | None] = ["n", 4, 4, 1] if whole else ["n", 1, 4, 4]
    weights = np.zeros((16, classes), np.float32)
    weights[:, -1] = 1.0 / (255 if whole else 1)
    nodes = [
        helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["levels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["sums"]),
        helper.make_node("Sub", ["sums", "half"], ["scores"]),
    ]
    half = np.zeros(classes, np.float32)
    half[-1] = 8
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", taken, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(half, "half")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_a_classifier_in_a_file(tmp_path: Path, whole: bool) -> None:
    judge = classifier_in(brightness(tmp_path / "c.onnx", whole=whole), 2, (4, 4, 1), 0.9)
    images: NDArray[np.uint8] = np.stack([np.full((4, 4, 1), level, np.uint8) for level in (0, 127, 255)])
    assert judge(images, np.zeros(3, np.int64)).tolist() == [True, False, False]
    assert judge(images, np.ones(3, np.int64)).tolist() == [False, False, True]
    assert judge.describe()["classifier"] == "c.onnx"


def test_classifiers_that_do_not_fit(tmp_path: Path) -> None:
    path = brightness(tmp_path / "c.onnx", whole=True)
    with pytest.raises(DataError, match=r"answers \[2, 2\] for 2 images; \[2, 10\] is needed, one per class"):
        classifier_in(path, 10, (4, 4, 1), 0.5)
    with pytest.raises(DataError, match=r"fails on images of shape \[8, 8, 1\]"):
        classifier_in(path, 2, (8, 8, 1), 0.5)
    (tmp_path / "nothing.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no classifier that onnxruntime can run"):
        classifier_in(tmp_path / "nothing.onnx", 2, (4, 4, 1), 0.5)
