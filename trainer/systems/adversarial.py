"""A generator against a discriminator: one update of each per batch."""

import copy
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.ema import update_average, with_statistics
from trainer.networks.base import Generator
from trainer.systems.base import Ingredients, Metrics, SystemConfig


class AdversarialConfig(SystemConfig):
    """A generator against a discriminator."""

    kind: Literal["adversarial"] = "adversarial"
    """Which system."""

    def build(self, ingredients: Ingredients, spec: ImageSpec, fabric: Fabric) -> "AdversarialSystem":
        """See `SystemConfig.build`."""
        return AdversarialSystem(ingredients, spec, fabric)


class AdversarialSystem:
    """Any generator, discriminator, objective and regularizers a recipe names. See `trainer.systems.base`."""

    def __init__(self, recipe: Ingredients, spec: ImageSpec, fabric: Fabric) -> None:
        self._recipe, self._spec, self._fabric = recipe, spec, fabric
        self._modules: dict[str, nn.Module] = {
            "generator": _channels_last(recipe.generator.build(spec)),
            "discriminator": _channels_last(recipe.discriminator.build(spec)),
        }
        self._optimizers = {
            name: config.build(self._modules[name].parameters()) for name, config in self._optimizer_configs()
        }
        # Fabric's wrappers run the forward pass in the chosen precision and hand back fp32.
        self._generator, self._generator_optimizer = self._set_up("generator")
        self._discriminator, self._discriminator_optimizer = self._set_up("discriminator")
        self._average: Generator = copy.deepcopy(self._modules["generator"]).requires_grad_(False)  # type: ignore[assignment]
        self._latent_dim = self._average.latent_dim

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """See `System.step`: the discriminator first, then the generator, then its average."""
        for name, config in self._optimizer_configs():
            config.set_rate(self._optimizers[name], rate)
        real = images.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        metrics = self._discriminator_step(real, labels, step) | self._generator_step(len(real))
        update_average(self._average, self._modules["generator"], self._recipe.ema.decay_at(step))
        return metrics

    def averaged_generator(self, statistics_images: int) -> Generator:
        """See `System.averaged_generator`."""
        return with_statistics(self._average, classes=self._spec.classes, images=statistics_images)

    def state_dict(self) -> dict[str, Any]:
        """See `System.state_dict`."""
        return {
            **{name: module.state_dict() for name, module in self._modules.items()},
            "generator_ema": self._average.state_dict(),
            **{f"{name}_optimizer": optimizer.state_dict() for name, optimizer in self._optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `System.load_state_dict`."""
        for name, module in self._modules.items():
            module.load_state_dict(state[name])
        self._average.load_state_dict(state["generator_ema"])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[f"{name}_optimizer"])

    def _discriminator_step(self, real: Tensor, labels: Tensor, step: int) -> Metrics:
        with torch.no_grad():
            fake, fake_labels = self._generate(len(real))
        logits = self._discriminator(
            torch.cat([self._augment(real), self._augment(fake)]), torch.cat([labels, fake_labels])
        )
        real_logits, fake_logits = logits.chunk(2)
        loss = self._recipe.objective.discriminator_loss(real_logits, fake_logits)
        metrics = {
            "loss_discriminator": loss,
            "logit_real": real_logits.mean(),
            "logit_fake": fake_logits.mean(),
        }
        for kind, regularizer in self._recipe.regularizers.items():
            if regularizer.due(step):
                # The bare module: second derivatives in bf16 are too coarse.
                penalty = regularizer.discriminator_penalty(
                    lambda images: self._modules["discriminator"](images, labels), real
                )
                loss = loss + penalty
                metrics[f"penalty_{kind}"] = penalty / regularizer.every
        self._update(self._discriminator_optimizer, loss)
        return {name: value.detach() for name, value in metrics.items()}

    def _generator_step(self, n: int) -> Metrics:
        self._modules["discriminator"].requires_grad_(False)
        fake, labels = self._generate(n)
        loss = self._recipe.objective.generator_loss(self._discriminator(self._augment(fake), labels))
        self._update(self._generator_optimizer, loss)
        self._modules["discriminator"].requires_grad_(True)
        return {"loss_generator": loss.detach()}

    def _generate(self, n: int) -> tuple[Tensor, Tensor]:
        latents = torch.randn(n, self._latent_dim, device=self._fabric.device)
        labels = torch.randint(0, self._spec.classes, (n,), device=self._fabric.device)
        return self._generator(latents, labels), labels

    def _augment(self, images: Tensor) -> Tensor:
        for augmentation in self._recipe.augmentations.values():
            images = augmentation.apply(images)
        return images

    def _update(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self._fabric.backward(loss)
        optimizer.step()

    def _set_up(self, name: str) -> tuple[Any, Any]:
        module, optimizer = self._fabric.setup(self._modules[name], self._optimizers[name])
        return module, optimizer

    def _optimizer_configs(self) -> list[tuple[str, Any]]:
        return [
            ("generator", self._recipe.generator_optimizer),
            ("discriminator", self._recipe.discriminator_optimizer),
        ]


def _channels_last(module: nn.Module) -> nn.Module:
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
