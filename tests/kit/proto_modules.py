"""Every generated module of messages, so that a test of all methods cannot miss one."""

import pkgutil
from importlib import import_module
from types import ModuleType

from google.protobuf.descriptor import MethodDescriptor

from service.grpc_api import _generated

PROTO_MODULES: tuple[ModuleType, ...] = tuple(
    import_module(f"{_generated.__name__}.{module.name}")
    for module in pkgutil.iter_modules(_generated.__path__)
    if module.name.endswith("_pb2")
)


def all_methods() -> list[MethodDescriptor]:
    """Every method of every service of ours."""
    return [
        method
        for module in PROTO_MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
