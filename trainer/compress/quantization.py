"""The one entry to every method that makes an exported graph smaller or faster. To add one: write its file, then one
line in `METHODS`."""

from pathlib import Path
from typing import Annotated, get_args

import onnx
from onnx import ModelProto
from pydantic import Field

from trainer.compress.base import Architecture, Inputs, QuantizationMethod
from trainer.compress.fp16 import Fp16Config
from trainer.compress.graph import Graph
from trainer.compress.int8 import Int8Config
from trainer.compress.int8_dynamic import Int8DynamicConfig
from trainer.compress.int8_weights import Int8WeightsConfig
from trainer.errors import ConfigError
from trainer.stripping import strip

METHODS = Int8Config | Int8WeightsConfig | Int8DynamicConfig | Fp16Config

QuantizationConfig = Annotated[METHODS, Field(discriminator="method")]
"""Settings of any method, told apart by `method`."""


def read_architecture(graph: Path) -> Architecture:
    """What the graph in file `graph` computes with."""
    return architecture_of(onnx.load(graph))


def architecture_of(model: ModelProto) -> Architecture:
    """See `read_architecture`."""
    graph = Graph(model)
    kinds = [node.op_type for node in graph.nodes]
    products = [node for node in graph.nodes if node.op_type == "MatMul"]
    return Architecture(
        convolutions=kinds.count("Conv"),
        transposed=kinds.count("ConvTranspose"),
        recurrent=kinds.count("LSTM"),
        dense=kinds.count("Gemm") + sum(graph.constant(node.input[1]) is not None for node in products),
    )


def methods_for(architecture: Architecture) -> list[str]:
    """Names of the methods that have a use for such a graph."""
    return [kind().method for kind in get_args(METHODS) if kind().refusal(architecture) is None]


def check_supported(config: QuantizationMethod, architecture: Architecture, whose: str) -> None:
    """Refuse a method that has no use for a graph.

    Args:
        whose: the package, in words, for the message.

    Raises:
        ConfigError: why, and which methods do.
    """
    reason = config.refusal(architecture)
    if reason is not None:
        raise ConfigError(
            f"--method {config.method}: {reason}. {whose} ({architecture}) takes {', '.join(methods_for(architecture))}"
        )


def quantize(source: Path, target: Path, inputs: Inputs, config: QuantizationMethod) -> tuple[str, ...]:
    """Write the form of graph `source` that `config` asks for to `target`.

    Args:
        source: an fp32 graph.
        inputs: `config.calibration_images` of them, by name.

    Returns:
        What there is to say of it, in sentences.
    """
    compressed = config.apply(onnx.load(source), inputs)
    strip(compressed.model)
    onnx.checker.check_model(compressed.model)
    target.write_bytes(compressed.model.SerializeToString())
    return compressed.notes
