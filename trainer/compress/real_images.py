"""`--data` of the commands that compress: real images as the package's own were prepared."""

from pathlib import Path

from runtime.manifest import Manifest
from trainer.compress.fidelity import RealSide, look_at_real
from trainer.data.digits import NAME
from trainer.package_evaluation import open_images


def open_real_side(data: str, manifest: Manifest, cache: Path) -> RealSide:
    """The images that `data` names, prepared and split as for the training of the package, and looked at.

    Args:
        data: as for `latentd train --data`; or ``sklearn-digits``, the built-in ones.

    Raises:
        DataError: unreadable, or of another size or other classes than the package makes.
    """
    built_in = data == NAME and not Path(data).exists()
    return look_at_real(open_images(manifest, None if built_in else Path(data), cache), cache)
