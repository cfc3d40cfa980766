"""The system of a fine-tuning: networks that begin as those of a package, some of their weights fixed."""

from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.ema import with_statistics
from trainer.errors import ConfigError
from trainer.finetune.adapters import adapt, merged
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.freezing import freeze_input_side
from trainer.finetune.inheritance import inherit
from trainer.finetune.recipe import FineTuneRecipe
from trainer.networks.base import Generator
from trainer.regularizers.base import Player
from trainer.systems import AdversarialConfig
from trainer.systems.adversarial import AdversarialSystem
from trainer.systems.base import Metrics

_WARM_UP_STEPS = 50
"""Steps over which both rates grow to their values: the optimizers begin without moments, and what they do in their
first steps is otherwise seen in the images for long."""


class FineTunedSystem(AdversarialSystem):
    """See `AdversarialSystem`. Generator, its average and discriminator are the package's, optimizers begin anew; the
    input side of the discriminator is frozen, and of the generator all but an adapter, where there is one.

    Steps go on counting where the package's training ended: penalties that faded stay faded, and the average, which
    forgets its start quickly in a new training, keeps it here.

    Attributes:
        frozen_layers: how many layers of the discriminator keep their weights.
    """

    def __init__(
        self, recipe: FineTuneRecipe, spec: ImageSpec, fabric: Fabric, ancestor: Ancestor, sources: tuple[int, ...]
    ) -> None:
        """`sources` are the ancestor's rows with which the classes begin.

        Raises:
            ConfigError: the ancestor's weights do not fit its recipe, or its generator the adapter.
        """
        assert isinstance(recipe.system, AdversarialConfig)
        self._settings, self._ancestor, self._sources = recipe.fine_tuning, ancestor, sources
        self._weights = ancestor.weights()
        self.frozen_layers = 0
        super().__init__(recipe.system, recipe, spec, fabric)
        if not self._adapted:
            inherit(self._average, self._weights["generator_ema"], sources, self._whose)
        del self._weights

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """See `System.step`."""
        return super().step(images, labels, self._ancestor.steps + step, rate * min(1.0, (step + 1) / _WARM_UP_STEPS))

    def averaged_generator(self, statistics_images: int) -> Generator:
        """See `System.averaged_generator`; adapters are merged."""
        average = merged(self._average) if self._adapted else self._average
        return with_statistics(average, classes=self._spec.classes, images=statistics_images)

    def merged_state_dict(self) -> dict[str, Any]:
        """What another training can begin with: `state_dict` with adapters merged, and then without the state of the
        optimizers, which knows adapters alone."""
        state = self.state_dict()
        if not self._adapted:
            return state
        return {
            "generator": merged(self._modules["generator"]).state_dict(),
            "discriminator": state["discriminator"],
            "generator_ema": merged(self._average).state_dict(),
        }

    @property
    def _adapted(self) -> bool:
        return self._settings.adapter != "none"

    @property
    def _whose(self) -> str:
        return f"PACKAGE {self._ancestor.reference}"

    def _networks(self) -> dict[Player, nn.Module]:
        modules = super()._networks()
        missing = {"generator", "generator_ema", "discriminator"} - self._weights.keys()
        if missing:
            raise ConfigError(f"{self._whose}: its checkpoint lacks {', '.join(sorted(missing))}")
        # What an adapter leaves as it is must be what is packaged: the average.
        begins_as = "generator_ema" if self._adapted else "generator"
        inherit(modules["generator"], self._weights[begins_as], self._sources, self._whose)
        inherit(modules["discriminator"], self._weights["discriminator"], self._sources, self._whose)
        adapt(modules["generator"], self._settings.adapter, self._settings.rank)
        self.frozen_layers = freeze_input_side(modules["discriminator"], self.judged_spec, self._settings.freeze)
        return modules
