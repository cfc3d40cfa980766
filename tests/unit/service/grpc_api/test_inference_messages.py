"""Our messages of the inference protocol are those that `tritonclient` carries, number by number, in one process."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from service.grpc_api._generated import inference_open_inference_pb2 as ours

IN_THE_SPECIFICATION_ALONE = {("ModelMetadataResponse", "properties"): 6}
"""Fields of the published `open_inference_grpc.proto` that Triton has left out, with their numbers."""


def messages(*files: object) -> Iterator[tuple[str, Descriptor]]:
    pending = [each for file in files for each in file.DESCRIPTOR.message_types_by_name.values()]  # type: ignore[attr-defined]
    while pending:
        message = pending.pop()
        yield message.full_name, message
        pending.extend(message.nested_types)


THEIRS = dict(messages(service_pb2, model_config_pb2))
OURS = {
    name: message
    for name, message in messages(ours)
    if not (message.GetOptions().map_entry and name not in THEIRS)  # of a field that only we have
}


def on_the_wire(field: FieldDescriptor) -> tuple[object, ...]:
    """All that decides how a field is written."""
    kind = field.message_type or field.enum_type
    return field.number, field.type, field.is_repeated, field.containing_oneof is not None, kind and kind.full_name


@pytest.mark.parametrize("name", OURS)
def test_fields(name: str) -> None:
    message, theirs = OURS[name], THEIRS[name]
    for field in message.fields:
        special = IN_THE_SPECIFICATION_ALONE.get((message.name, field.name))
        if special is not None:
            assert field.number == special
            assert special not in theirs.fields_by_number
        else:
            assert on_the_wire(field) == on_the_wire(theirs.fields_by_name[field.name]), field.name


def test_calls() -> None:
    def signature(method: MethodDescriptor) -> tuple[object, ...]:
        streams = method.client_streaming, method.server_streaming
        return method.full_name, method.input_type.full_name, method.output_type.full_name, streams

    (service,) = ours.DESCRIPTOR.services_by_name.values()
    theirs = service_pb2.DESCRIPTOR.services_by_name[service.name]
    for method in service.methods:
        assert signature(method) == signature(theirs.methods_by_name[method.name])
