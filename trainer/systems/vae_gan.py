"""A variational autoencoder whose images a discriminator judges and in whose features they are compared.

Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric": algorithm 1. What the encoder
and the generator share, the pair (images, reconstructions), may be single images or whole sequences.
"""

import copy
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.ema import update_average, with_statistics
from trainer.errors import ConfigError
from trainer.networks import ENCODERS, EncoderConfig
from trainer.networks.base import Encoder, FeatureDiscriminator, Generator, Posterior
from trainer.networks.convolutional_encoder import ConvolutionalEncoderConfig
from trainer.regularizers.base import Shown
from trainer.systems.base import Ingredients, Metrics, SystemConfig


class VaeGanConfig(SystemConfig):
    """Encoder, generator and discriminator; labels are not used."""

    kind: Literal["vae-gan"] = "vae-gan"
    """Which system."""

    encoder: Annotated[SerializeAsAny[EncoderConfig], BeforeValidator(ENCODERS.parse)] = ConvolutionalEncoderConfig()
    """Network that finds the latent of an image; trained with the generator's optimizer."""

    similarity: float = Field(default=1.0, gt=0)
    """Weight γ of the reconstruction against the judgment of the discriminator, in the generator's loss."""

    prior: float = Field(default=1.0, ge=0)
    """Weight of the divergence from the standard normal, against that of the reconstruction."""

    warm_up_steps: int = Field(default=1_000, ge=0)
    """Steps over which that weight grows from 0, linearly (Bowman et al. 2016, section 3.1)."""

    pixels: float = Field(default=0.0, ge=0)
    """Weight of a reconstruction in pixels beside the one in features; 0 is the paper's."""

    judge_reconstructions: bool = True
    """Whether the discriminator judges reconstructions beside images of the prior, as in the paper's algorithm; off
    saves a third of a step."""

    def prior_at(self, step: int) -> float:
        """Weight of the divergence after `step` steps."""
        return self.prior * min(1.0, (step + 1) / (self.warm_up_steps + 1))

    def build(self, ingredients: Ingredients, spec: ImageSpec, fabric: Fabric) -> "VaeGanSystem":
        """See `SystemConfig.build`.

        Raises:
            ConfigError: the discriminator has no hidden layer to compare images in.
        """
        return VaeGanSystem(self, ingredients, spec, fabric)


def prior_divergence(posterior: Posterior) -> Tensor:
    """KL(q(z|x) ‖ N(0, 1)), summed over the latent, mean over the batch (Kingma and Welling 2014, eq. 10)."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def feature_error(features: Tensor, reference: Tensor) -> Tensor:
    """−log p(D_l(x) | z) of a normal distribution of unit variance around D_l(x̃), less its constant: half the
    squared distance, mean over the batch (Larsen et al. 2016, eqs. 7 and 8).

    Both are divided by the mean deviation of `reference` over the batch, which is one in the paper's
    batch-normalized discriminator: else a smooth discriminator, whose features are small, lets the encoder forget.
    """
    deviation = (reference - reference.mean(0)).square().sum(0).mean() / (len(reference) - 1)
    scale = deviation.clamp_min(1e-8)
    return 0.5 * (features - reference).square().flatten(1).sum(1).mean() / scale


def pixel_error(images: Tensor, reference: Tensor) -> Tensor:
    """Half the squared distance of images in −1 … 1, summed over pixels, mean over the batch."""
    return 0.5 * (images - reference).square().flatten(1).sum(1).mean()


class VaeGanSystem:
    """See the module, and `trainer.systems.base`."""

    def __init__(self, config: VaeGanConfig, recipe: Ingredients, spec: ImageSpec, fabric: Fabric) -> None:
        self._config, self._recipe, self._fabric = config, recipe, fabric
        spec = replace(spec, classes=1)
        generator = recipe.generator.build(spec)
        discriminator = recipe.discriminator.build(spec)
        if not isinstance(discriminator, FeatureDiscriminator):
            raise ConfigError(f"system vae-gan: discriminator {recipe.discriminator.kind!r} has no features to compare")
        for regularizer in recipe.regularizers.values():
            regularizer.prepare(discriminator)
        self._modules: dict[str, nn.Module] = {
            "generator": generator,
            "encoder": config.encoder.build(spec, generator),
            "discriminator": discriminator,
        }
        for module in self._modules.values():
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizers = {
            name: self._optimizer_config(name).build(module.parameters()) for name, module in self._modules.items()
        }
        self._generator, self._generator_optimizer = self._set_up("generator")
        self._encoder, self._encoder_optimizer = self._set_up("encoder")
        self._discriminator, self._discriminator_optimizer = self._set_up("discriminator")
        self._discriminator.mark_forward_method("features")
        self._discriminator.mark_forward_method("judge")
        self._averages: dict[str, nn.Module] = {
            name: copy.deepcopy(self._modules[name]).requires_grad_(False) for name in ("generator", "encoder")
        }
        self._latent_dim = generator.latent_dim

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """See `System.step`: the discriminator first, then encoder and generator, then their averages."""
        for name, optimizer in self._optimizers.items():
            self._optimizer_config(name).set_rate(optimizer, rate)
        real = images.float().div_(127.5).sub_(1)
        labels = torch.zeros_like(labels)
        posterior = self._encoder(real)
        prior = torch.randn(len(real), self._latent_dim, device=self._fabric.device)
        made = self._generator(torch.cat([sample(posterior), prior]), labels.repeat(2))
        reconstructed, sampled = made.chunk(2)
        judged = made if self._config.judge_reconstructions else sampled
        metrics = self._discriminator_step(real, judged.detach(), labels, step)
        self._modules["discriminator"].requires_grad_(False)
        metrics |= self._autoencoder_step(real, judged, reconstructed, posterior, step)
        self._modules["discriminator"].requires_grad_(True)
        for name, average in self._averages.items():
            update_average(average, self._modules[name], self._recipe.ema.decay_at(step))
        return metrics

    def averaged_generator(self, statistics_images: int) -> Generator:
        """See `System.averaged_generator`."""
        generator: Generator = self._averages["generator"]  # type: ignore[assignment]
        return with_statistics(generator, classes=1, images=statistics_images)

    def averaged_encoder(self) -> Encoder:
        """See `EncodingSystem.averaged_encoder`."""
        encoder: Encoder = copy.deepcopy(self._averages["encoder"]).eval()  # type: ignore[assignment]
        return encoder

    def state_dict(self) -> dict[str, Any]:
        """See `System.state_dict`."""
        return {
            **{name: module.state_dict() for name, module in self._modules.items()},
            **{f"{name}_ema": average.state_dict() for name, average in self._averages.items()},
            **{f"{name}_optimizer": optimizer.state_dict() for name, optimizer in self._optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `System.load_state_dict`."""
        for name, module in self._modules.items():
            module.load_state_dict(state[name])
        for name, average in self._averages.items():
            average.load_state_dict(state[f"{name}_ema"])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[f"{name}_optimizer"])

    def _discriminator_step(self, real: Tensor, fake: Tensor, labels: Tensor, step: int) -> Metrics:
        """As many real images as `fake` has, each perhaps twice."""
        times = len(fake) // len(real)
        logits = self._discriminator(torch.cat([self._augment(real), self._augment(fake)]), labels.repeat(1 + times))
        real_logits, fake_logits = logits[: len(real)].repeat_interleave(times, 0), logits[len(real) :]
        loss = self._recipe.objective.discriminator_loss(real_logits, fake_logits)
        metrics = {"loss_discriminator": loss, "logit_real": real_logits.mean(), "logit_fake": fake_logits.mean()}
        # The bare module: second derivatives in bf16 are too coarse.
        bare = self._modules["discriminator"]
        shown = Shown(lambda images: bare(images, labels), real, fake[-len(real) :], step)
        for kind, regularizer in self._recipe.regularizers.items():
            penalty = regularizer.discriminator_penalty(shown)
            if penalty is not None:
                loss = loss + penalty
                metrics[f"penalty_{kind}"] = penalty
        self._discriminator_optimizer.zero_grad()
        self._fabric.backward(loss)
        self._discriminator_optimizer.step()
        for regularizer in self._recipe.regularizers.values():
            regularizer.after_step(bare)
        return {name: value.detach() for name, value in metrics.items()}

    def _autoencoder_step(
        self, real: Tensor, judged: Tensor, reconstructed: Tensor, posterior: Posterior, step: int
    ) -> Metrics:
        """The encoder minimizes divergence and reconstruction; the generator γ · reconstruction and its own loss."""
        self._generator_optimizer.zero_grad()
        self._encoder_optimizer.zero_grad()
        adversarial = self._generator_loss(real, judged)
        with torch.no_grad():
            wanted = self._discriminator.features(real)
        error = feature_error(self._discriminator.features(reconstructed).float(), wanted.float())
        if self._config.pixels:
            error = error + self._config.pixels * pixel_error(reconstructed, real)
        divergence = prior_divergence(posterior)
        # Scaled by γ as a whole: the generator needs it, and the encoder's optimizer does not mind.
        likeness = self._config.similarity * (error + self._config.prior_at(step) * divergence)
        # The encoder learns nothing from the judgment (Larsen et al. 2016, section 2.3); where only images of the prior
        # are judged, one pass back does it: they meet the encoder nowhere but in the batch norm's statistics.
        if self._config.judge_reconstructions:
            parameters = list(self._modules["generator"].parameters())
            self._fabric.backward(adversarial, retain_graph=True, inputs=parameters)
            self._fabric.backward(likeness)
        else:
            self._fabric.backward(adversarial + likeness)
        self._generator_optimizer.step()
        self._encoder_optimizer.step()
        return {
            "loss_generator": adversarial.detach(),
            "loss_reconstruction": error.detach(),
            "loss_prior": divergence.detach(),
        }

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        objective, labels = self._recipe.objective, torch.zeros(len(fake), dtype=torch.int64, device=fake.device)
        real_logits = None
        if objective.compares:
            times = len(fake) // len(real)
            with torch.no_grad():
                real_logits = self._discriminator(self._augment(real), labels[: len(real)]).repeat_interleave(times, 0)
        return objective.generator_loss(self._discriminator(self._augment(fake), labels), real_logits)

    def _augment(self, images: Tensor) -> Tensor:
        for augmentation in self._recipe.augmentations.values():
            images = augmentation.apply(images)
        return images

    def _set_up(self, name: str) -> tuple[Any, Any]:
        module, optimizer = self._fabric.setup(self._modules[name], self._optimizers[name])
        return module, optimizer

    def _optimizer_config(self, name: str) -> Any:
        if name == "discriminator":
            return self._recipe.discriminator_optimizer
        return self._recipe.generator_optimizer


def sample(posterior: Posterior) -> Tensor:
    """z = mean + σ · ε, through which gradients pass (Kingma and Welling 2014, section 2.4)."""
    mean, log_variance = posterior
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
