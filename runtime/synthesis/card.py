"""What a data set says of itself: `dataset.json` for programs, and a card in Hugging Face's form for people.

Neither holds a time or a place: equal data sets have equal descriptions.
"""

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from runtime.manifest import Manifest
from runtime.synthesis.plan import Plan
from runtime.synthesis.workplace import DATASET_FILE, PartRecord
from runtime.synthesis.writers import WRITERS, WrittenFile

_SCHEMA_VERSION = 1
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LICENCES = frozenset(
    ("apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "mit", "openrail")
)


def describe_dataset(
    plan: Plan, manifest: Manifest, records: Sequence[PartRecord], files: Sequence[WrittenFile]
) -> dict[str, Any]:
    """The content of `dataset.json`."""
    attempts = max(record.attempts for record in records)
    graph = manifest.precisions[plan.precision]
    return {
        "schema_version": _SCHEMA_VERSION,
        "rows": plan.rows,
        "rows_per_class": _rows_per_class(plan, manifest),
        "classes": manifest.classes,
        "shape": list(manifest.output.shape),
        "format": plan.format,
        "image_format": plan.image_format,
        "seeds": {
            "first": plan.seed,
            "last": plan.seed + plan.rows * attempts - 1,
            "rule": "candidate a (from 0) of row r: first + r + a · rows; its class: (r mod k)-th of the k asked for",
        },
        "filters": [
            {**entry, "dropped": sum(record.dropped[entry["name"]] for record in records)} for entry in plan.filters
        ],
        "package": {
            "reference": manifest.reference,
            "manifest_sha256": plan.package_sha256,
            "graph_sha256": graph.sha256,
            "precision": plan.precision,
            "family": manifest.family,
            "recipe": manifest.provenance.recipe,
            "trained_images": manifest.provenance.trained_images,
            "training_data": manifest.provenance.data.model_dump(mode="json"),
            "evaluation": {name: found.model_dump(mode="json") for name, found in manifest.evaluation.items()},
        },
        "licence": manifest.licence,
        "intended_use": manifest.intended_use,
        "files": [file.model_dump(mode="json") for file in files],
        "plan": plan.model_dump(mode="json"),
    }


def dataset_json(dataset: Mapping[str, Any]) -> str:
    """The text of `dataset.json`."""
    return json.dumps(dataset, indent=2, ensure_ascii=False) + "\n"


def data_card(dataset: Mapping[str, Any]) -> str:
    """The text of `README.md`, from what `describe_dataset` says.

    Its front matter is YAML in which every value is written as JSON, which YAML includes.
    """
    package, seeds = dataset["package"], dataset["seeds"]
    moving = len(dataset["shape"]) == 4
    what = "sequences" if moving else "images"
    title = f"{dataset['rows']:,} {what} of {package['reference']}"
    return "\n".join(
        [
            *("---", *_front_matter(dataset, title), "---", ""),
            *(f"# {title}", ""),
            f"Synthetic: every one was drawn by a generator ({package['family']}, recipe {package['recipe']}), none is "
            "a photograph or a scan. Measure on real data before you rely on a model trained on these.",
            *("", "## What is in it", ""),
            *_contents(dataset, what),
            *("", "```python", _example(dataset), "```"),
            *("", "## Where it comes from", ""),
            f"- Package `{package['reference']}` ({package['precision']}), SHA-256 of its manifest "
            f"`{package['manifest_sha256']}`, of its graph `{package['graph_sha256']}`",
            f"- Trained on {package['training_data']['images']:,} images of "
            f"`{package['training_data']['source']}`, fingerprint `{package['training_data']['fingerprint']}`",
            f"- Row seeds {seeds['first']} to {seeds['last']}, truncation {dataset['plan']['truncation']:g}: row seed "
            "and class make one image again, with `latentd sample` or by the recipe in `runtime/latents.py`",
            *("", "## Filters", ""),
            *_filters(dataset),
            *("", "## Evaluation of the package", ""),
            *_evaluation(dataset),
            *("", "## Licence and intended use", ""),
            f"{dataset['licence']}. {dataset['intended_use']}",
            "",
            f"All of this, and a checksum of each file, is in `{DATASET_FILE}`.",
            "",
        ]
    )


def _front_matter(dataset: Mapping[str, Any], title: str) -> list[str]:
    licence = dataset["licence"].lower()
    task = "image-classification" if dataset["classes"] else "unconditional-image-generation"
    size = next((name for limit, name in _SIZES if dataset["rows"] < limit), "n>1M")
    lines = [f"pretty_name: {json.dumps(title)}"]
    if licence in _LICENCES:
        lines.append(f"license: {json.dumps(licence)}")
    else:
        lines += ['license: "other"', f"license_name: {json.dumps(dataset['licence'])}"]
    lines += ['tags: ["synthetic", "latentd"]', f'task_categories: ["{task}"]', f'size_categories: ["{size}"]']
    pattern = WRITERS[dataset["format"]].data_files
    if pattern:
        data_files = [{"split": "train", "path": pattern}]
        lines.append(f"configs: {json.dumps([{'config_name': 'default', 'data_files': data_files}])}")
    return lines


def _contents(dataset: Mapping[str, Any], what: str) -> list[str]:
    *frames, height, width, channels = dataset["shape"]
    form = f", each of {frames[0]} frames" if frames else ""
    encoded = f" ({dataset['image_format']})" if dataset["image_format"] else ""
    lines = [
        f"- {dataset['rows']:,} {what} of {width}×{height} pixels, {'grey' if channels == 1 else 'RGB'}{form}, "
        f"as {dataset['format']}{encoded}; {dataset['rows'] * prod(dataset['shape']) / 2**20:,.1f} MiB of pixels"
    ]
    if per_class := dataset["rows_per_class"]:
        lines.append(f"- {next(iter(per_class.values())):,} of each class: {', '.join(per_class)}")
        lines.append("- Labels count from 0 in the order of the package's classes: " + ", ".join(dataset["classes"]))
    if dataset["image_format"]:
        lines.append("- The name of each file is its row seed")
    return lines


def _filters(dataset: Mapping[str, Any]) -> list[str]:
    if not dataset["filters"]:
        return ["None: every image that was drawn is here."]
    lines = []
    for entry in dataset["filters"]:
        details = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("name", "dropped"))
        lines.append(f"- `--{entry['name']}` dropped {entry['dropped']:,}, each replaced by a further seed ({details})")
    return [*lines, "", "The evaluation below is that of the package, without filters."]


def _evaluation(dataset: Mapping[str, Any]) -> list[str]:
    """Only of the precision that drew the set; `dataset.json` has all."""
    precision = dataset["package"]["precision"]
    prefix = "" if precision == "fp32" else f"{precision}."
    evaluation = {
        name.removeprefix(prefix): entry
        for name, entry in dataset["package"]["evaluation"].items()
        if (name.partition(".")[0] if "." in name else "fp32") == precision
    }
    if not evaluation:
        return ["The package carries none."]
    rows = [
        f"| {name} | {found['value']:.4g} | {'' if found['real'] is None else format(found['real'], '.4g')} "
        f"| {found['samples']:,} |"
        for name, found in sorted(evaluation.items())
    ]
    return ["| measure | value | of real images | samples |", "|---|---|---|---|", *rows]


def _rows_per_class(plan: Plan, manifest: Manifest) -> dict[str, int]:
    return {manifest.classes[label]: plan.rows // len(plan.classes) for label in plan.classes}


def _example(dataset: Mapping[str, Any]) -> str:
    *frames, height, width, channels = dataset["shape"]
    labelled, encoded = bool(dataset["classes"]), dataset["image_format"]
    values = {
        "rows": dataset["rows"],
        "height": height,
        "width": width,
        "shape": [dataset["rows"], *frames, height, width, channels],
        "suffix": encoded and (encoded if encoded != "jpeg" else "jpg"),
        "label_key": (
            "labels, " if dataset["format"] == "npz" else "label, " if dataset["format"] == "parquet" else ", cls"
        )
        if labelled
        else "",
    }
    return WRITERS[dataset["format"]].example.format(**values)
