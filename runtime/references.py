"""How a person names a package: its folder, ``name`` or ``name@version``."""

from pathlib import Path

from runtime.errors import PackageNotFound
from runtime.manifest import MANIFEST_FILE
from runtime.package import Package, open_package
from runtime.store import ModelStore


def find_package(reference: str, store: ModelStore) -> Package:
    """The package that `reference` names, every file of it checked; of a bare name the newest version.

    Args:
        reference: a folder that holds a manifest, or a name, with a version or without, in `store`.

    Raises:
        PackageError: nothing of that name, or see `runtime.package.open_package`.
    """
    folder = Path(reference)
    if (folder / MANIFEST_FILE).is_file():
        return open_package(folder)
    name, _, version = reference.partition("@")
    published = store.versions()
    if name not in published:
        known = ", ".join(published) or "no packages at all"
        raise PackageNotFound(reference, f"no folder with a {MANIFEST_FILE}, and not in the store, which holds {known}")
    versions = published[name]
    if version and (not version.isdecimal() or int(version) not in versions):
        raise PackageNotFound(reference, f"the store holds {', '.join(f'{name}@{number}' for number in versions)}")
    return store.open(name, int(version) if version else versions[-1])
