"""`manifest.json`: everything a server or a reader needs to know of a model package.

The file is plain JSON, checked against the models below. Any change to them that an older reader
would misread raises `SCHEMA_VERSION`; a manifest of a later version is refused, never guessed at.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from runtime.errors import PackageCorrupt, PackageUnsupported

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


Interval = tuple[float, float]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Latent(_Model):
    """The generator's input: `dim` numbers per image, drawn as `runtime.latents` documents."""

    dim: int = Field(ge=1, le=65536)
    distribution: Literal["normal"] = "normal"


class Output(_Model):
    """Size of one generated image in pixels; `frames` above 1 marks a sequence."""

    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)
    channels: Literal[1, 3]
    frames: int = Field(default=1, ge=1, le=1024)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: ``(H, W, C)``, or ``(T, H, W, C)`` for a sequence."""
        image = (self.height, self.width, self.channels)
        return image if self.frames == 1 else (self.frames, *image)


class StoredFile(_Model):
    """Size in bytes and SHA-256 of a file beside the manifest."""

    sha256: Sha256
    size: int = Field(ge=0)


class AgainstReal(_Model):
    """One precision and its reference, both with the same latents, against the same real images."""

    images: int = Field(ge=1, description="real images")
    frechet_distance: float
    reference_frechet_distance: float
    label_accuracy: float | None = Field(default=None, description="null: no classes, or nobody to read them")
    reference_label_accuracy: float | None = None


class Parity(_Model):
    """How far the images of one precision lie from those of its reference, in 8-bit levels.

    The reference is PyTorch, the package's own fp32, or fp32 of the package that this one was made from.
    """

    against: Literal["torch", "fp32", "parent"]
    images: int = Field(ge=1)
    max_abs: int = Field(ge=0, le=255)
    mean_abs: float = Field(ge=0, le=255)
    psnr_db: float | None = Field(default=None, description="null where the images are identical")
    frechet_distance: float | None = Field(default=None, description="to the reference's images; null: not measured")
    features: str | None = Field(default=None, description="in which the Fréchet distances are taken")
    real: AgainstReal | None = Field(default=None, description="null: no real images were at hand")


class Requirement(_Model):
    """A threshold that the package, or one precision of it, was held to."""

    expression: str = Field(description="as in `coverage>=0.6`, a measure of `evaluation` or of a parity")
    value: float | None = Field(description="of the measure; null: it could not be measured")
    met: bool


class PrecisionFile(StoredFile):
    """One exported ONNX graph: inputs `latents` (and `label`), output `images` uint8 NHWC."""

    file: FileName
    reproducible: bool = Field(
        default=True, description="bit-identical images whatever the batch size and the position in it"
    )
    parity: Parity
    method: dict[str, Any] = Field(
        default_factory=dict,
        description="resolved config of the compression step; `int8` may hold weights alone, or fewer bits",
    )
    speed: float | None = Field(
        default=None,
        gt=0,
        description="images per second over those of fp32 (of a pruned fp32: over its parent's), in batches of 8 on "
        "one thread of the processor that it was made on; null: not measured",
    )
    requirements: list[Requirement] = Field(
        default_factory=list, description="bars of its parity; one that is missed was published by force"
    )

    def missed(self) -> list[Requirement]:
        """Bars that this precision does not meet."""
        return [requirement for requirement in self.requirements if not requirement.met]


class EncoderFile(StoredFile):
    """The ONNX graph that finds latents: input `images` as `output` describes them, output `latents` float32.

    The self-test's file holds `encoder_latents` float32 `[k, dim]` of its `images_fp32`; `tolerance` is the largest
    allowed mean absolute difference from them.
    """

    file: FileName
    tolerance: float = Field(default=0.05, ge=0)


class SelfTest(_Model):
    """Recorded outputs that a loaded package must reproduce.

    `file` is an `.npz` with `seeds` uint64 `[k]`, `labels` int64 `[k]` where the model has classes, and
    one uint8 array `images_<precision>` `[k, …]` per precision. `tolerance` is the largest allowed mean
    absolute difference per precision in 8-bit levels: zero is met on the machine that wrote the package,
    the rest is room for other processors.
    """

    file: FileName
    tolerance: dict[Precision, Annotated[float, Field(ge=0, le=255)]]


class DataSource(_Model):
    """The images a model was trained on."""

    source: str
    fingerprint: Sha256
    images: int = Field(ge=1)


class Provenance(_Model):
    """How the package came to be: enough to make it again."""

    data: DataSource
    recipe: str
    config: dict[str, Any]
    seed: int
    trained_images: int = Field(ge=0)
    training_seconds: float = Field(ge=0)
    code_version: str
    parent: str | None = Field(default=None, description="`name@version` this package was made from")


class Measurement(_Model):
    """One evaluation result, with what real images score in the generated ones' place: its floor."""

    value: float
    samples: int = Field(ge=1, description="generated images that were measured")
    real: float | None = Field(default=None, description="the same measure of real images")
    real_samples: int | None = Field(default=None, ge=0, description="real images they were compared with")
    interval: Interval | None = Field(default=None, description="95 % by resampling, see trainer.evaluation.resampling")
    real_interval: Interval | None = Field(default=None, description="that of `real`")
    by: str | None = Field(default=None, description="the features or the classifier: name, and start of its SHA-256")


class Manifest(_Model):
    """A model package's description. See the module docstring for the rules of its version number."""

    schema_version: Literal[1] = 1
    name: ModelName
    version: int = Field(ge=1)
    created: datetime
    family: str
    latent: Latent
    classes: list[str] = Field(default_factory=list, description="class names by index; empty: unconditional")
    output: Output
    precisions: dict[Precision, PrecisionFile] = Field(min_length=1)
    encoder: EncoderFile | None = Field(default=None, description="null: the model makes images, and reads none")
    files: dict[FileName, StoredFile]
    self_test: SelfTest
    provenance: Provenance
    evaluation: dict[str, Measurement] = Field(default_factory=dict)
    requirements: list[Requirement] = Field(default_factory=list, description="quality gates, met or missed")
    licence: str
    intended_use: str

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: names repeat: {self.classes}")
        if self.self_test.file not in self.files:
            raise ValueError(f"self_test.file: {self.self_test.file!r} is not listed in files")
        untested = set(self.precisions) - set(self.self_test.tolerance)
        if untested:
            raise ValueError(f"self_test.tolerance: no entry for {sorted(untested)}")
        if self.encoder is not None and "fp32" not in self.precisions:
            raise ValueError("encoder: its self-test needs the precision fp32, which is missing")
        return self

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def missed(self) -> list[Requirement]:
        """Requirements that the package does not meet."""
        return [requirement for requirement in self.requirements if not requirement.met]

    def missed_bars(self) -> list[Requirement]:
        """Bars that single precisions do not meet, which were published by force; with names as in
        ``int8.psnr_db>=20``."""
        return [
            requirement.model_copy(update={"expression": f"{precision}.{requirement.expression}"})
            for precision, entry in self.precisions.items()
            for requirement in entry.missed()
        ]

    def stored_files(self) -> dict[str, StoredFile]:
        """Every file that belongs to the package, ONNX graphs included, by name."""
        graphs: list[PrecisionFile | EncoderFile] = [*self.precisions.values()]
        if self.encoder is not None:
            graphs.append(self.encoder)
        return {**self.files, **{entry.file: entry for entry in graphs}}

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return self.model_dump_json(indent=2) + "\n"


def read_manifest(package_dir: Path) -> Manifest:
    """Read and check `manifest.json` in `package_dir`.

    Raises:
        PackageCorrupt: the file is missing, is not JSON, or a field is wrong (named with its value).
        PackageUnsupported: its schema version is later than `SCHEMA_VERSION`.
    """
    path = package_dir / MANIFEST_FILE
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise PackageCorrupt(package_dir, f"{MANIFEST_FILE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PackageCorrupt(package_dir, f"{MANIFEST_FILE} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise PackageCorrupt(package_dir, f"{MANIFEST_FILE} holds a {type(data).__name__}, not an object")
    schema_version = data.get("schema_version")
    if isinstance(schema_version, int) and schema_version > SCHEMA_VERSION:
        raise PackageUnsupported(
            package_dir,
            f"schema_version is {schema_version}, this latentd reads up to {SCHEMA_VERSION}: upgrade latentd",
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise PackageCorrupt(
            package_dir, f"{MANIFEST_FILE}: {field}: {first['msg']}, got {first['input']!r:.80}"
        ) from error
