"""R2: gradient penalty on generated images (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?", eq. 10)."""

from typing import Literal

from torch import Tensor

from trainer.regularizers.base import AnnealedRegularizerConfig, Shown
from trainer.regularizers.r1 import squared_gradients


class R2Config(AnnealedRegularizerConfig):
    """Keeps the discriminator flat around what the generator makes; beside `r1`, for relativistic pairing."""

    kind: Literal["r2"] = "r2"
    """Which regularizer."""

    def discriminator_penalty(self, shown: Shown) -> Tensor | None:
        """γ/2 · `every` · `squared_gradients` at the generated images."""
        if not self.due(shown.step):
            return None
        images = shown.fake.detach().requires_grad_()
        return self.weight_at(shown.step) * squared_gradients(shown.critic(images), images)
