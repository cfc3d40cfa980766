"""The last touch to a graph in 8 bits, after onnxruntime's quantizer: pixels move as bytes, layers fit their kernels,
and nothing is stored that follows from the rest.

Each rewriting keeps every number but the last bits of scales. They answer what onnxruntime 1.31 does on x86: to enlarge
an image by its Resize takes as long as the convolution behind it, to copy whole pixels a tenth of that; its 8-bit
convolution computes sixteen channels in half the time that it takes for one; and arithmetic on images of one channel
goes number by number.
"""

from trainer.compress.blocks import compute_blocks
from trainer.compress.eight_bits.channel_factors import factor_rows
from trainer.compress.eight_bits.constants import leave_out_what_follows, shorten_names, small_scales
from trainer.compress.eight_bits.kernels import fill_kernels
from trainer.compress.eight_bits.pixels import copy_pixels, move_bytes
from trainer.compress.flat_arithmetic import flatten_arithmetic
from trainer.compress.fp16 import store_in_16_bits
from trainer.compress.graph import Graph


def tidy(graph: Graph) -> None:
    """Rewrite a QDQ graph in place."""
    copy_pixels(graph)
    move_bytes(graph)
    flatten_arithmetic(graph)
    compute_blocks(graph)
    fill_kernels(graph)
    factor_rows(graph)
    leave_out_what_follows(graph)
    graph.drop_unused()
    store_in_16_bits(graph, keep=small_scales(graph))
    shorten_names(graph)
    del graph.model.graph.value_info[:]  # shapes of what is no more


__all__ = ["tidy"]
