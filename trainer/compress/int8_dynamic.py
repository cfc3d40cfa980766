"""8-bit LSTMs whose activations are scaled per batch: fast, and an image depends on those it is drawn with."""

import logging
import tempfile
from pathlib import Path
from typing import ClassVar, Literal

import onnx
from onnx import ModelProto

from runtime.manifest import Precision
from trainer.compress.base import Architecture, Compressed, Inputs, QuantizationMethod
from trainer.compress.quiet import quiet_root_logger


class Int8DynamicConfig(QuantizationMethod):
    """LSTM and MatMul in 8 bits, ranges taken from each batch. Not reproducible, and so never chosen by the server."""

    precision: ClassVar[Precision] = "int8"
    reproducible: ClassVar[bool] = False

    method: Literal["int8-dynamic"] = "int8-dynamic"
    """Which method."""

    operators: tuple[str, ...] = ("LSTM", "MatMul")
    """ONNX operators that compute in 8 bits."""

    def refusal(self, architecture: Architecture) -> str | None:
        """Without LSTMs: convolutions with ranges per batch are slower than fp32."""
        return None if architecture.recurrent else "it pays for recurrent layers alone, and the graph has none"

    def apply(self, model: ModelProto, inputs: Inputs) -> Compressed:
        """See `QuantizationMethod.apply`."""
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with quiet_root_logger(logging.ERROR), tempfile.TemporaryDirectory() as scratch:
            source, prepared, target = (Path(scratch) / f"{name}.onnx" for name in ("source", "prepared", "target"))
            onnx.save(model, source)
            # Makes constants of what the exporter computes from weights, which the quantizer takes for activations.
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_dynamic(prepared, target, op_types_to_quantize=list(self.operators), weight_type=QuantType.QInt8)
            return Compressed(onnx.load(target), ("images depend on their batch: marked as not reproducible",))
