"""What the code says now, in the form of the golden files."""

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from service.histograms import Histogram
from service.http_api.application import create_routes
from service.metrics import Metrics
from tests.kit.proto_modules import PROTO_MODULES


def openapi() -> dict[str, Any]:
    """The OpenAPI document, without the version of the code, which is no part of the contract."""
    document = create_routes().openapi()
    return {**document, "info": {name: value for name, value in document["info"].items() if name != "version"}}


def protos() -> dict[str, Any]:
    """Every file descriptor by its name, as JSON."""
    found = {}
    for module in PROTO_MODULES:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        found[file.name] = MessageToDict(file, preserving_proto_field_name=True)
    return found


def metrics() -> dict[str, Any]:
    """Type and labels of every metric by its name, without those of the process and of Python."""
    found = {}
    for metric in vars(Metrics(CollectorRegistry())).values():
        if isinstance(metric, MetricWrapperBase):
            suffix = "_total" if metric._type == "counter" else ""
            found[metric._name + suffix] = {"type": metric._type, "labels": list(metric._labelnames)}
        elif isinstance(metric, Histogram):
            found[metric.name] = {"type": "histogram", "labels": list(metric.label_names)}
    return dict(sorted(found.items()))


CURRENT = {"openapi": openapi, "protos": protos, "metrics": metrics}
"""Name of a golden file → what it should hold."""
