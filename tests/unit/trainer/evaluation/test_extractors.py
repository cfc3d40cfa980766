"""Networks that users bring: what they are given, and what is said of those that break the rules."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from trainer.errors import DataError
from trainer.evaluation.extractors import open_extractor

GREY = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)


def scripted(path: Path, module: nn.Module) -> Path:
    torch.jit.save(torch.jit.script(module), path)
    return path


class ChannelMeans(nn.Module):
    """A proper extractor."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class Inception(nn.Module):
    """Answers as the well-known file does."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        assert images.dtype == torch.uint8
        means = images.float().mean(dim=(2, 3))
        return means if return_features else means.argmax(1, keepdim=True).float()


def test_torch_script_gets_colours_between_0_and_1(tmp_path: Path) -> None:
    extractor = open_extractor(scripted(tmp_path / "means.pt", ChannelMeans()), GREY)
    expected = (GREY / 255).mean(axis=(1, 2)).repeat(3, axis=1)
    np.testing.assert_allclose(extractor(GREY), expected, atol=1e-6)
    assert len(extractor.sha256) == 64


def test_features_do_not_depend_on_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.evaluation import extractors

    extractor = open_extractor(scripted(tmp_path / "means.pt", ChannelMeans()), GREY)
    whole = extractor(GREY)
    monkeypatch.setattr(extractors, "_BATCH", 4)
    np.testing.assert_allclose(extractor(GREY), whole, atol=1e-7)


def test_inception_gets_bytes_and_is_asked_for_features(tmp_path: Path) -> None:
    extractor = open_extractor(scripted(tmp_path / "inception.pt", Inception()), GREY, inception=True)
    np.testing.assert_allclose(extractor(GREY), GREY.mean(axis=(1, 2)).repeat(3, axis=1), rtol=1e-5)


class Map(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


class NotANumber(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images - 2).mean(dim=(2, 3)).log()


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class Whitened(nn.Module):
    """As batch normalization that was saved in training mode."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean(dim=(2, 3))
        return means - means.mean(0)


class Dropped(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) * torch.rand(192)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Map(), r"answers 4 images with shape \[4, 3, 8, 8\], not \[4, d\]: flatten or pool"),
        (NotANumber(), "NaN or infinite"),
        (Pair(), "answers with a tuple, not one tensor"),
        (Whitened(), "depend on the others of its batch: save it in eval mode"),
        (Dropped(), "answers the same images twice differently"),
        (nn.Linear(5, 2), "does not run on images of 8×8×1"),
    ],
    ids=["map", "nan", "pair", "batch", "chance", "shape"],
)
def test_what_breaks_the_rules_is_named(tmp_path: Path, module: nn.Module, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_extractor(scripted(tmp_path / "bad.pt", module), GREY)


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; --features takes judge, pixels"):
        open_extractor(tmp_path / "absent.pt", GREY)
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(DataError, match="not TorchScript; a file of weights alone cannot be run"):
        open_extractor(tmp_path / "weights.pt", GREY)
    (tmp_path / "noise.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match="onnxruntime refuses it"):
        open_extractor(tmp_path / "noise.onnx", GREY)


def graph(path: Path, shape: list[Any], kind: int = TensorProto.FLOAT) -> Path:
    """An ONNX graph that averages over height and width."""
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["real"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], None])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "scale"),
    [
        (["n", 1, "h", "w"], TensorProto.FLOAT, 255),
        (["n", 3, 16, 16], TensorProto.FLOAT, 255),
        (["n", 3, "h", "w"], TensorProto.UINT8, 1),
    ],
    ids=["grey", "resized", "bytes"],
)
def test_onnx_gets_what_it_declares(tmp_path: Path, shape: list[Any], kind: int, scale: int) -> None:
    found = open_extractor(graph(tmp_path / "means.onnx", shape, kind), GREY)(GREY)
    expected = (GREY / scale).mean(axis=(1, 2)).repeat(shape[1], axis=1)
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_onnx_of_one_batch_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes batches of 1 alone; export it with a dynamic first dimension"):
        open_extractor(graph(tmp_path / "one.onnx", [1, 3, 8, 8]), GREY)
