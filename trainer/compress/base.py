"""What every method of making an exported graph smaller or faster has in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from onnx import ModelProto

from runtime.manifest import Precision
from trainer.config import Config

Inputs = Mapping[str, NDArray[Any]]
"""Inputs of a graph by name: `latents` float32 ``[n, dim]``, and `label` int64 ``[n]`` where it takes labels."""


@dataclass(frozen=True)
class Architecture:
    """What a graph computes with: numbers of nodes.

    Attributes:
        dense: Gemm, and MatMul with constant weights.
    """

    convolutions: int
    transposed: int
    recurrent: int
    dense: int

    def __str__(self) -> str:
        kinds = {
            "convolutions": self.convolutions,
            "transposed convolutions": self.transposed,
            "recurrent layers": self.recurrent,
            "dense layers": self.dense,
        }
        return ", ".join(f"{count} {kind.removesuffix('s' * (count == 1))}" for kind, count in kinds.items() if count)


@dataclass(frozen=True)
class Compressed:
    """A new graph, and what there is to say of how it was made, in sentences."""

    model: ModelProto
    notes: tuple[str, ...] = ()


class QuantizationMethod(Config, ABC):
    """Settings of one method. What is stored in the manifest is this config, every field of it.

    Attributes:
        precision: the manifest's name of what comes out.
        reproducible: whether an image's bits can be independent of its batch. If not, that is marked, and the server
            takes the graph only when asked for it by name.
    """

    precision: ClassVar[Precision]
    reproducible: ClassVar[bool] = True

    method: str
    """Which method; see `trainer.compress.quantization`."""

    @property
    def calibration_images(self) -> int:
        """Generated images whose activations the method wants to see."""
        return 0

    @abstractmethod
    def refusal(self, architecture: Architecture) -> str | None:
        """Why the method has no use for such a graph; None: it has."""

    @abstractmethod
    def apply(self, model: ModelProto, inputs: Inputs) -> Compressed:
        """The compressed form of an fp32 graph, which is left as it is.

        Args:
            inputs: on which activations may be looked at.
        """
