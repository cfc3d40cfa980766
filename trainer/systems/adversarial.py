"""A generator against a discriminator: one update of each per batch, or one of the generator per several."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.ema import update_average, with_statistics
from trainer.networks.base import Generator
from trainer.regularizers.base import Game, GameRegularizerConfig, Player, Shown
from trainer.systems.base import Ingredients, Metrics, SystemConfig

Network = Callable[[Tensor, Tensor], Tensor]
"""A network of two inputs, wrapped by Fabric or bare."""


class AdversarialConfig(SystemConfig):
    """A generator against a discriminator."""

    kind: Literal["adversarial"] = "adversarial"
    """Which system."""

    discriminator_steps: int = Field(default=1, ge=1, le=100)
    """Updates of the discriminator, each on a batch of its own, per update of the generator."""

    packing: int = Field(default=1, ge=1, le=16)
    """Images the discriminator sees at once, stacked along the channels (Lin et al. 2018, "PacGAN", section 3):
    it notices when they are too much alike. Packs are filled class by class where there are classes."""

    def build(self, ingredients: Ingredients, spec: ImageSpec, fabric: Fabric) -> "AdversarialSystem":
        """See `SystemConfig.build`."""
        return AdversarialSystem(self, ingredients, spec, fabric)

    def coupling(self, ingredients: Ingredients) -> str | None:
        """See `SystemConfig.coupling`: losses that are no means over images or pairs, and packs."""
        if ingredients.objective.couples:
            return f"objective {ingredients.objective.kind!r}"
        games = [kind for kind, entry in ingredients.regularizers.items() if isinstance(entry, GameRegularizerConfig)]
        if games:
            return f"regularizer {games[0]!r}"
        return f"system.packing={self.packing}" if self.packing > 1 else None


@dataclass(frozen=True)
class Part:
    """As much of a batch as passes through the networks at once.

    Attributes:
        real: images in −1 … 1.
        labels: of the real and of the generated images.
        latents: what the generated images are made of.
        fake: generated images; their graph is kept only where the generator's update goes on from it.
    """

    real: Tensor
    labels: Tensor
    latents: Tensor
    fake: Tensor


class AdversarialSystem:
    """Any generator, discriminator, objective and regularizers a recipe names. See `trainer.systems.base`.

    Generated images take the labels of the batch: the discriminator then cannot tell the two sides apart by how
    often a label occurs, and pairs, lines and packs of both sides agree in their labels.
    """

    def __init__(self, config: AdversarialConfig, recipe: Ingredients, spec: ImageSpec, fabric: Fabric) -> None:
        if not recipe.conditional:
            spec = replace(spec, classes=1)
        self._config, self._recipe, self._spec, self._fabric = config, recipe, spec, fabric
        self._modules: dict[Player, nn.Module] = {
            name: _channels_last(module) for name, module in self._networks().items()
        }
        self._optimizers = {
            name: config.build(self._modules[name].parameters()) for name, config in self._optimizer_configs()
        }
        # Fabric's wrappers run the forward pass in the chosen precision and hand back fp32.
        self._generator, self._generator_optimizer = self._set_up("generator")
        self._discriminator, self._discriminator_optimizer = self._set_up("discriminator")
        self._average: Generator = copy.deepcopy(self._modules["generator"]).requires_grad_(False)  # type: ignore[assignment]
        self._latent_dim = self._average.latent_dim

    @property
    def judged_spec(self) -> ImageSpec:
        """What the discriminator is shown at once."""
        return replace(self._spec, channels=self._spec.channels * self._config.packing)

    def _networks(self) -> dict[Player, nn.Module]:
        """The networks as training begins with them; called once, before there are optimizers."""
        discriminator = self._recipe.discriminator.build(self.judged_spec)
        for regularizer in self._recipe.regularizers.values():
            regularizer.prepare(discriminator)
        return {"generator": self._recipe.generator.build(self._spec), "discriminator": discriminator}

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """See `System.step`: the discriminator; then, unless more of its updates are due, the generator.

        Both are shown the same generated images, so that these are drawn once.
        """
        for name, config in self._optimizer_configs():
            config.set_rate(self._optimizers[name], rate)
        if self._spec.classes == 1:
            labels = torch.zeros_like(labels)
        elif self._config.packing > 1:
            labels, order = labels.sort(stable=True)
            images = images[order]
        real = images.float().div_(127.5).sub_(1)
        if real.ndim == 4:
            real = real.contiguous(memory_format=torch.channels_last)
        generator_is_due = (step + 1) % self._config.discriminator_steps == 0
        parts = self._split(real, labels, keep_graph=generator_is_due)
        metrics = self._update(self._discriminator_optimizer, (self._discriminator_terms(part, step) for part in parts))
        for regularizer in self._recipe.regularizers.values():
            regularizer.after_step(self._modules["discriminator"])
        if generator_is_due:
            metrics |= self._update(self._generator_optimizer, (self._generator_terms(part) for part in parts))
            taken = step // self._config.discriminator_steps
            update_average(self._average, self._modules["generator"], self._recipe.ema.decay_at(taken))
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

    def _split(self, real: Tensor, labels: Tensor, *, keep_graph: bool) -> list[Part]:
        """The parts of a batch. A single one may keep its graph; of several, all graphs would take the memory that
        parts are to save."""
        count = self._recipe.training.accumulate
        latents = torch.randn(len(labels), self._latent_dim, device=self._fabric.device)
        parts = []
        for images, names, z in zip(real.chunk(count), labels.chunk(count), latents.chunk(count), strict=True):
            with torch.set_grad_enabled(keep_graph and count == 1):
                parts.append(Part(images, names, z, self._generator(z, names)))
        return parts

    def _discriminator_terms(self, part: Part, step: int) -> tuple[Tensor, Metrics]:
        """What the discriminator minimizes on `part`, and what there is to say of it."""
        fake = part.fake.detach()
        packed_real, packed_labels = self._pack(part.real, part.labels)
        packed_fake, _ = self._pack(fake, part.labels)
        real_logits, fake_logits = self._compare(self._discriminator, part.real, fake, part.labels)
        loss = self._recipe.objective.discriminator_loss(real_logits, fake_logits)
        metrics = {
            "loss_discriminator": loss,
            "logit_real": real_logits.mean(),
            "logit_fake": fake_logits.mean(),
        }
        # The bare module: second derivatives in bf16 are too coarse.
        bare = self._modules["discriminator"]
        shown = Shown(lambda images: bare(images, packed_labels), packed_real, packed_fake, step)
        for kind, regularizer in self._recipe.regularizers.items():
            penalty = regularizer.discriminator_penalty(shown)
            if penalty is not None:
                loss = loss + penalty
                metrics[f"penalty_{kind}"] = penalty
        loss, more = self._with_penalties("discriminator", loss, part)
        return loss, metrics | more

    def _generator_terms(self, part: Part) -> tuple[Tensor, Metrics]:
        """What the generator minimizes on `part`, and what there is to say of it."""
        fake = part.fake if part.fake.requires_grad else self._generator(part.latents, part.labels)
        with _held(self._modules["discriminator"]):
            loss = self._generator_loss(self._discriminator, part.real, fake, part.labels)
        metrics = {"loss_generator": loss}
        loss, more = self._with_penalties("generator", loss, part)
        return loss, metrics | more

    def _with_penalties(self, player: Player, loss: Tensor, part: Part) -> tuple[Tensor, Metrics]:
        """`loss` with the terms that either player may have, and those terms."""
        terms: Metrics = {}
        for kind, regularizer in self._recipe.regularizers.items():
            penalty = regularizer.weight_penalty(player, self._modules[player])
            if penalty is not None:
                terms[f"penalty_{player}_{kind}"] = penalty
            if isinstance(regularizer, GameRegularizerConfig):
                terms[f"penalty_{player}_{kind}"] = regularizer.game_penalty(self._game(part))
        return sum(terms.values(), loss), terms

    def _game(self, part: Part) -> Game:
        """Both losses on fresh images, in fp32 and with the graphs of both networks."""
        generator, discriminator = self._modules["generator"], self._modules["discriminator"]
        latents = torch.randn_like(part.latents)
        fake = generator(latents, part.labels)
        return Game(
            self._generator_loss(discriminator, part.real, fake, part.labels),
            self._recipe.objective.discriminator_loss(*self._compare(discriminator, part.real, fake, part.labels)),
            _trained(generator),
            _trained(discriminator),
        )

    def _generator_loss(self, judge: Network, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
        if self._recipe.objective.compares:
            real_logits, fake_logits = self._compare(judge, real, fake, labels)
            return self._recipe.objective.generator_loss(fake_logits, real_logits)
        return self._recipe.objective.generator_loss(judge(*self._pack(self._augment(fake), labels)))

    def _compare(self, judge: Network, real: Tensor, fake: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of real and of generated images, from one pass."""
        packed_real, packed_labels = self._pack(self._augment(real), labels)
        packed_fake, _ = self._pack(self._augment(fake), labels)
        logits = judge(torch.cat([packed_real, packed_fake]), packed_labels.repeat(2))
        real_logits, fake_logits = logits.chunk(2)
        return real_logits, fake_logits

    def _pack(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours stacked along the channels, with the label of the first; what fills no pack is left out."""
        size = self._config.packing
        if size == 1:
            return images, labels
        full = len(images) // size * size
        return images[:full].reshape(full // size, -1, *images.shape[2:]), labels[:full:size]

    def _augment(self, images: Tensor) -> Tensor:
        for augmentation in self._recipe.augmentations.values():
            images = augmentation.apply(images)
        return images

    def _update(self, optimizer: Any, parts: Iterable[tuple[Tensor, Metrics]]) -> Metrics:
        """One step on the mean of the losses of `parts`, whose metrics' means are returned. Each is gone before the
        next is computed."""
        count, seen = self._recipe.training.accumulate, list[Metrics]()
        optimizer.zero_grad()
        for loss, metrics in parts:
            self._fabric.backward(loss / count if count > 1 else loss)
            seen.append({name: value.detach() for name, value in metrics.items()})
        optimizer.step()
        return seen[0] if count == 1 else {name: torch.stack([of[name] for of in seen]).mean() for name in seen[0]}

    def _set_up(self, name: Player) -> tuple[Any, Any]:
        module, optimizer = self._fabric.setup(self._modules[name], self._optimizers[name])
        return module, optimizer

    def _optimizer_configs(self) -> list[tuple[Player, Any]]:
        return [
            ("generator", self._recipe.generator_optimizer),
            ("discriminator", self._recipe.discriminator_optimizer),
        ]


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@contextmanager
def _held(module: nn.Module) -> Iterator[None]:
    """Within it no parameter of `module` has gradients; behind it those that had them do again."""
    parameters = _trained(module)
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _channels_last(module: nn.Module) -> nn.Module:
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
