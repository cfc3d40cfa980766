"""FreezeD: the input side of the discriminator keeps its weights (Mo et al. 2020, "Freeze the discriminator: a simple
baseline for fine-tuning GANs", section 3).

What it has learned to see in many images serves for the few new ones; only what it makes of it is learned anew.
"""

import torch
from torch import nn

from trainer.data.images import ImageSpec

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def layers_in_order(discriminator: nn.Module, spec: ImageSpec) -> list[nn.Module]:
    """Convolutions and linear layers in the order in which an image of size `spec` first meets them."""
    met: dict[nn.Module, None] = {}

    def note(module: nn.Module, _arguments: object) -> None:
        met.setdefault(module)

    hooks = [
        module.register_forward_pre_hook(note) for module in discriminator.modules() if isinstance(module, _LAYERS)
    ]
    frames = () if spec.frames == 1 else (spec.frames,)
    image = torch.zeros(1, *frames, spec.channels, spec.height, spec.width)
    was_training = discriminator.training
    discriminator.eval()  # nothing random, and nothing that follows the weights
    try:
        with torch.no_grad():
            discriminator(image, torch.zeros(1, dtype=torch.int64))
    finally:
        discriminator.train(was_training)
        for hook in hooks:
            hook.remove()
    return list(met)


def freeze_input_side(discriminator: nn.Module, spec: ImageSpec, share: float) -> int:
    """Have the first `share` of the layers, rounded down, keep their weights; how many these are.

    Embeddings of classes are never frozen, and neither is the last layer.
    """
    layers = layers_in_order(discriminator, spec)
    count = min(int(share * len(layers)), len(layers) - 1)
    for layer in layers[:count]:
        layer.requires_grad_(False)
    return count
