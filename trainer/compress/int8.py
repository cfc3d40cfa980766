"""Static 8-bit quantization of an exported graph."""

import logging
import tempfile
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray
from pydantic import Field

from trainer.config import Config

_BATCH = 64


class Int8Config(Config):
    """QDQ form, unsigned 8-bit activations, signed 8-bit weights per channel.

    Signed activations have no fast kernel on x86 before VNNI's signed form, and scales measured on real
    latents, instead of per batch, are what keeps an image independent of its batch.
    """

    calibration: Literal["min-max", "percentile"] = "min-max"
    """How an activation's range follows from what was seen: all of it, or all but 0.001 %."""

    images: int = Field(default=512, ge=8, le=65_536)
    """Generated images whose activations are looked at."""

    operators: tuple[str, ...] = ("Conv", "Gemm", "Resize", "Relu")
    """ONNX operators that compute in 8 bits."""


class _Batches:
    """Calibration inputs as onnxruntime's quantizer wants them: one mapping per call, None at the end."""

    def __init__(self, inputs: dict[str, NDArray[Any]]) -> None:
        n = len(inputs["latents"])
        self._batches = iter(
            [{name: array[i : i + _BATCH] for name, array in inputs.items()} for i in range(0, n, _BATCH)]
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)


def quantize_int8(source: Path, target: Path, inputs: dict[str, NDArray[Any]], config: Int8Config) -> None:
    """Write the 8-bit form of graph `source` to `target`.

    Args:
        source: an fp32 graph.
        target: file to write.
        inputs: calibration inputs by name, e.g. `latents` float32 ``[n, dim]``.
        config: operators and calibration.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    methods = {"min-max": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
    root_level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer logs advice about pre-processing to the root
    try:
        with tempfile.TemporaryDirectory() as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            onnx.save(onnx.shape_inference.infer_shapes(onnx.load(source)), prepared)
            quantize_static(
                prepared,
                target,
                _Batches(inputs),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=list(config.operators),
                calibrate_method=methods[config.calibration],
            )
    finally:
        logging.getLogger().setLevel(root_level)
