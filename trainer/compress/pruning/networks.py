"""The networks of a published package, from its checkpoint."""

from dataclasses import dataclass

import numpy as np
import torch

from runtime.package import Package
from trainer.checkpoints import Checkpoint, read_checkpoint
from trainer.compress.pruning.config import METHODS
from trainer.compress.versions import reference_graph
from trainer.config import parse
from trainer.data.images import ImageSpec
from trainer.ema import with_statistics
from trainer.errors import RunError
from trainer.export import ExportGraph, GraphSession
from trainer.networks.base import Discriminator, Generator
from trainer.probes import PARITY_SEED, draw_probe
from trainer.recipe import Recipe

CHECKPOINT_FILE = "checkpoint.pt"
_CHECKED = 32
_DIFFERENCE = 1.0  # levels on average; statistics computed on another device differ a little


@dataclass(frozen=True)
class Networks:
    """What a package was made of.

    Attributes:
        spec: of its images; 1 class where it takes no labels.
        generator: averaged weights with settled statistics, eval mode, on the CPU.
        discriminator: frozen, eval mode, on the CPU; None where it cannot be asked about one image.
    """

    recipe: Recipe
    spec: ImageSpec
    generator: Generator
    discriminator: Discriminator | None
    checkpoint: Checkpoint


def read_networks(package: Package) -> Networks:
    """Rebuild the networks of `package`, and see that the generator draws what the graph draws.

    Raises:
        RunError: there is no checkpoint, it belongs to another version of latentd, or it draws other images.
    """
    manifest = package.manifest
    if CHECKPOINT_FILE not in manifest.files:
        raise RunError(f"PACKAGE: {manifest.reference} holds no {CHECKPOINT_FILE}, from whose weights pruning starts")
    recipe = parse(Recipe, {**manifest.provenance.config, "start_from": None}, f"{manifest.reference}: its recipe")
    output = manifest.output
    spec = ImageSpec(output.height, output.width, output.channels, max(1, len(manifest.classes)), output.frames)
    checkpoint = read_checkpoint(package.path / CHECKPOINT_FILE)
    generator = recipe.generator.build(spec)
    try:
        generator.load_state_dict(checkpoint["system"]["generator_ema"])
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{manifest.reference}: {CHECKPOINT_FILE} is not of its recipe's generator: {reason}") from error
    if manifest.precisions["fp32"].method.get("method") in METHODS:
        generator.eval()
    else:
        generator = with_statistics(generator, classes=spec.classes, images=recipe.ema.statistics_images)
    _check(package, generator)
    return Networks(recipe, spec, generator.requires_grad_(False), _discriminator(recipe, spec, checkpoint), checkpoint)


def _check(package: Package, generator: Generator) -> None:
    manifest = package.manifest
    probe = draw_probe(PARITY_SEED, _CHECKED, manifest.latent.dim, len(manifest.classes))
    graph = ExportGraph(generator, conditional=probe.conditional).eval()
    with torch.no_grad():
        found = graph(torch.from_numpy(probe.latents), torch.from_numpy(probe.labels)).numpy()
    expected = GraphSession(reference_graph(package))(probe.latents, probe.labels)
    difference = float(np.abs(found.astype(np.int16) - expected).mean())
    if difference > _DIFFERENCE:
        raise RunError(
            f"{manifest.reference}: the weights in {CHECKPOINT_FILE} draw other images than its graph, "
            f"{difference:.1f} levels apart on average; it cannot be pruned"
        )


def _discriminator(recipe: Recipe, spec: ImageSpec, checkpoint: Checkpoint) -> Discriminator | None:
    """With the parametrizations that regularizers give it; None where it judges several images at once."""
    if getattr(recipe.system, "packing", 1) > 1:
        return None
    discriminator = recipe.discriminator.build(spec)
    for regularizer in recipe.regularizers.values():
        regularizer.prepare(discriminator)
    try:
        discriminator.load_state_dict(checkpoint["system"]["discriminator"])
    except (KeyError, RuntimeError):  # of another shape: pixels alone do
        return None
    return discriminator.eval().requires_grad_(False)
