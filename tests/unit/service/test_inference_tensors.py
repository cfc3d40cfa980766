"""The inference protocol's tensors, as bytes and as numbers."""

from typing import Any

import numpy as np
import pytest

from runtime.latents import MAX_SEED
from runtime.manifest import Manifest
from service.errors import InvalidRequest
from service.inference_tensors import (
    Parameter,
    TensorSpec,
    input_specs,
    output_specs,
    request_from_tensors,
    tensor_from_bytes,
    tensor_from_values,
)
from service.sampling import SampleRequest


def test_a_conditional_model_takes_a_label_and_another_does_not(manifest: Manifest, plain: Manifest) -> None:
    assert input_specs(manifest) == [
        TensorSpec("latents", "FP32", [-1, 16]),
        TensorSpec("seed", "UINT64", [-1, 1]),
        TensorSpec("label", "INT64", [-1, 1]),
        TensorSpec("truncation", "FP32", [-1, 1]),
    ]
    assert [spec.name for spec in input_specs(plain)] == ["latents", "seed", "truncation"]
    assert output_specs(manifest) == [TensorSpec("images", "UINT8", [-1, 8, 8, 1])]


def test_bytes_are_little_endian_and_row_major() -> None:
    values = np.array([[1, 2], [3, 4]], dtype="<f4")
    np.testing.assert_array_equal(tensor_from_bytes("latents", "FP32", [2, 2], values.tobytes()), values)
    np.testing.assert_array_equal(tensor_from_bytes("latents", "FP32", [2, 2], memoryview(values.tobytes())), values)


@pytest.mark.parametrize("values", [[[1, 2], [3, 4]], [1, 2, 3, 4], [[1.0, 2], [3, 4]]])
def test_numbers_are_flat_or_nested(values: Any) -> None:
    assert tensor_from_values("latents", "FP32", [2, 2], values).tolist() == [[1, 2], [3, 4]]


def test_a_column_may_come_as_a_vector() -> None:
    assert tensor_from_values("seed", "UINT64", [2], [1, 2]).shape == (2,)


def test_the_largest_numbers_of_a_type_are_kept() -> None:
    assert int(tensor_from_values("seed", "UINT64", [1, 1], [2**64 - 1])[0, 0]) == 2**64 - 1
    assert int(tensor_from_values("label", "INT64", [1, 1], [-(2**63)])[0, 0]) == -(2**63)


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "values", "message"),
    [
        ("noise", "FP32", [1, 1], [1], "inputs.name: got 'noise'; allowed: latents, seed, label, truncation"),
        ("seed", "INT64", [1, 1], [1], "inputs.seed.datatype: got 'INT64'; allowed: UINT64"),
        ("seed", "UINT64", [1, 2], [1, 2], "inputs.seed.shape: got [1, 2]; allowed: [n, 1] with n at least 1"),
        ("seed", "UINT64", [], [1], "inputs.seed.shape: got []; allowed: [n, 1] with n at least 1"),
        ("seed", "UINT64", [0, 1], [], "inputs.seed.shape: got [0, 1]; allowed: [n, 1] with n at least 1"),
        ("seed", "UINT64", [-1, 1], [], "inputs.seed.shape: got [-1, 1]; allowed"),
        ("latents", "FP32", [16], [0] * 16, "inputs.latents.shape: got [16]; allowed: [n, latent_dim]"),
        ("seed", "UINT64", [1, 1], [1.5], "inputs.seed.data: got [1.5]; allowed: UINT64 numbers"),
        ("seed", "UINT64", [1, 1], [True], "inputs.seed.data: got [True]; allowed: UINT64 numbers"),
        ("seed", "UINT64", [1, 1], [2**64], "inputs.seed.data: got [18446744073709551616]; allowed: UINT64 numbers"),
        ("seed", "UINT64", [1, 1], [-3], "inputs.seed: got -3; allowed: integers from 0 to"),
        ("seed", "UINT64", [1, 1], None, "inputs.seed.data: got None; allowed: UINT64 numbers"),
        ("seed", "UINT64", [1, 1], {"a": 1}, "inputs.seed.data: got {'a': 1}; allowed: UINT64 numbers"),
        ("latents", "FP32", [2, 2], [[1, 2], [3]], "inputs.latents.data: got [[1, 2], [3]]; allowed: FP32 numbers"),
        ("latents", "FP32", [2, 2], [1, 2, 3], "inputs.latents: got 3 numbers; allowed: 4 for shape [2, 2]"),
        ("latents", "FP32", [2**40, 2**40], [1], "inputs.latents: got 1 numbers; allowed: 1208925819614629174706176"),
    ],
)
def test_wrong_numbers_are_refused_by_name(
    name: str, datatype: str, shape: list[int], values: object, message: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        tensor_from_values(name, datatype, shape, values)
    assert refusal.value.message.startswith(message)


def test_bytes_of_another_size_than_the_shapes_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"inputs\.seed: got 7 bytes; allowed: 8 for UINT64 of shape \[1, 1\]"):
        tensor_from_bytes("seed", "UINT64", [1, 1], bytes(7))
    with pytest.raises(InvalidRequest, match="got 0 bytes; allowed: "):
        tensor_from_bytes("seed", "UINT64", [2**61, 1], b"")


def request_of(parameters: dict[str, Parameter] | None = None, **tensors: Any) -> SampleRequest:
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    return request_from_tensors("tiny", "", arrays, parameters or {})


def test_tensors_become_the_engines_request() -> None:
    request = request_from_tensors(
        "tiny",
        "3",
        {
            "seed": np.array([[5], [6]], dtype=np.uint64),
            "label": np.array([[1], [2]], dtype=np.int64),
            "truncation": np.array([[0.5], [1.0]], dtype=np.float32),
        },
        {"precision": "int8", "priority": "bulk", "timeout": 250_000},
    )
    assert (request.model, request.n, request.seeds, request.labels) == ("tiny@3", 2, [5, 6], [1, 2])
    assert np.asarray(request.truncation).tolist() == [0.5, 1.0]
    assert (request.precision, request.priority, request.timeout_s) == ("int8", "bulk", 0.25)


def test_a_label_alone_asks_for_as_many_images_and_their_seeds_are_drawn() -> None:
    request = request_of(label=np.array([[1], [2], [3]]))
    assert (request.n, request.seeds, request.labels) == (3, None, [1, 2, 3])


@pytest.mark.parametrize(("value", "priority"), [(0, "interactive"), (1, "interactive"), (2, "bulk"), ("bulk", "bulk")])
def test_priority_is_a_word_or_tritons_number(value: Parameter, priority: str) -> None:
    assert request_of({"priority": value}, label=[[1]]).priority == priority


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"speed": 1}, "parameters.speed: got 1; allowed: precision"),
        ({"precision": 8}, "parameters.precision: got 8; allowed: precision"),
        ({"timeout": "1"}, "parameters.timeout: got '1'; allowed: "),
        ({"timeout": 0}, "parameters.timeout: got 0; allowed: "),
        ({"timeout": float("nan")}, "parameters.timeout: got nan; allowed: "),
        ({"timeout": True}, "parameters.timeout: got True; allowed: "),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameters: dict[str, Parameter], message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        request_of(parameters, label=[[1]])
    assert refusal.value.message.startswith(message)


def test_rows_must_agree_and_seeds_stay_in_their_range() -> None:
    with pytest.raises(
        InvalidRequest, match=r"inputs: got \{'label': 1, 'seed': 2\}; allowed: the same number of rows"
    ):
        request_of(seed=np.array([[1], [2]], np.uint64), label=[[1]])
    with pytest.raises(InvalidRequest, match=rf"inputs\.seed: got {MAX_SEED + 1}; allowed: integers from 0 to"):
        request_of(seed=np.array([[MAX_SEED + 1]], np.uint64))
    with pytest.raises(InvalidRequest, match=r"inputs: got \[\]; allowed: at least one of latents, seed"):
        request_of()
