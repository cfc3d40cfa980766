"""What a change of the contract would break, one sentence each; empty where every client goes on working.

New calls, optional fields, answers and metrics are welcome. Not so what a client may rely on and would no longer find,
or would suddenly have to send.
"""

from collections.abc import Callable, Iterator
from typing import Any

Content = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch", "head")


def openapi(old: Content, new: Content) -> list[str]:
    """Between two OpenAPI documents."""
    return list(_openapi(old, new))


def _openapi(old: Content, new: Content) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method in (method for method in _METHODS if method in operations):
            where = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{where} is gone"
            else:
                yield from _operation(where, operations[method], after, old, new)


def _operation(where: str, before: Content, after: Content, old: Content, new: Content) -> Iterator[str]:
    known = {(each["in"], each["name"]) for each in before.get("parameters", [])}
    for parameter in after.get("parameters", []):
        if parameter.get("required") and (parameter["in"], parameter["name"]) not in known:
            yield f"{where} needs the new parameter {parameter['name']}"
    for status, answer in before["responses"].items():
        if status.startswith("2"):
            found = after["responses"].get(status)
            if found is None:
                yield f"{where} no longer answers {status}"
                continue
            contents = found.get("content", {})
            for media_type, content in answer.get("content", {}).items():
                if media_type not in contents:
                    yield f"{where} no longer answers with {media_type}"
                else:
                    yield from _answer(
                        where, content.get("schema", {}), contents[media_type].get("schema", {}), old, new
                    )
    if before.get("x-latentd-scope") != after.get("x-latentd-scope"):
        yield f"{where} needs scope {after.get('x-latentd-scope')}, not {before.get('x-latentd-scope')}"
    bodies = after.get("requestBody", {}).get("content", {})
    for media_type, content in before.get("requestBody", {}).get("content", {}).items():
        if media_type not in bodies:
            yield f"{where} no longer takes {media_type}"
        else:
            yield from _schema(where, content["schema"], bodies[media_type]["schema"], old, new)


def _answer(where: str, before: Content, after: Content, old: Content, new: Content) -> Iterator[str]:
    """What an answer no longer says, or no longer always."""
    before, after = _resolve(before, old), _resolve(after, new)
    for name in before.get("properties", {}).keys() - after.get("properties", {}).keys():
        yield f"{where} no longer answers {name}"
    for name in set(before.get("required", [])) - set(after.get("required", [])):
        if name in after.get("properties", {}):
            yield f"{where} may answer without {name}"
    for name in before.get("properties", {}).keys() & after.get("properties", {}).keys():
        yield from _answer(f"{where} {name}", before["properties"][name], after["properties"][name], old, new)
    if "items" in before and "items" in after:
        yield from _answer(f"{where}[]", before["items"], after["items"], old, new)


def _schema(where: str, before: Content, after: Content, old: Content, new: Content) -> Iterator[str]:
    """What a request that was right before can no longer say."""
    before, after = _resolve(before, old), _resolve(after, new)
    before_choices, after_choices = _choices(before, old), _choices(after, new)
    for kind in before_choices.keys() - after_choices.keys():
        yield f"{where} no longer takes {kind}"
    for kind in before_choices.keys() & after_choices.keys():
        yield from _same_kind(where, before_choices[kind], after_choices[kind], old, new)


def _same_kind(where: str, before: Content, after: Content, old: Content, new: Content) -> Iterator[str]:
    if "enum" in after:
        gone = [value for value in before.get("enum", ["anything else"]) if value not in after["enum"]]
        if gone:
            yield f"{where} no longer takes {', '.join(map(str, gone))}"
    properties = after.get("properties", {})
    for name in set(after.get("required", [])) - set(before.get("required", [])):
        yield f"{where}.{name} is now required"
    for name, schema in before.get("properties", {}).items():
        if name in properties:
            yield from _schema(f"{where}.{name}", schema, properties[name], old, new)
        elif after.get("additionalProperties") is False:
            yield f"{where}.{name} is gone"
    if "items" in before and "items" in after:
        yield from _schema(f"{where}[]", before["items"], after["items"], old, new)


def _choices(schema: Content, document: Content) -> dict[str, Content]:
    """The types that a schema allows."""
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        found: dict[str, Content] = {}
        for alternative in alternatives:
            found.update(_choices(_resolve(alternative, document), document))
        return found
    kind = schema.get("type", "anything")
    return dict.fromkeys(kind, schema) if isinstance(kind, list) else {kind: schema}


def _resolve(schema: Content, document: Content) -> Content:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Content = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    return found


def protos(old: Content, new: Content) -> list[str]:
    """Between two sets of file descriptors."""
    return list(_protos(old, new))


def _protos(old: Content, new: Content) -> Iterator[str]:
    for name, file in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        if file.get("package") != new[name].get("package"):
            yield f"{name} changes its package"
        yield from _members(name, file, new[name])


def _members(where: str, before: Content, after: Content) -> Iterator[str]:
    """Of a file or of a message: each member by its name, with all that goes over the wire."""
    for kind, keys in (
        ("field", ("number", "type", "label", "type_name", "oneof_index")),
        ("value", ("number",)),
        ("method", ("input_type", "output_type", "client_streaming", "server_streaming")),
        ("message_type", ()),
        ("nested_type", ()),
        ("enum_type", ()),
        ("service", ()),
    ):
        found = {member["name"]: member for member in after.get(kind, [])}
        for member in before.get(kind, []):
            inner = f"{where}.{member['name']}"
            if member["name"] not in found:
                yield f"{inner} is gone"
                continue
            for key in keys:
                if member.get(key) != found[member["name"]].get(key):
                    yield f"{inner} changes its {key}: {member.get(key)} to {found[member['name']].get(key)}"
            yield from _members(inner, member, found[member["name"]])


def metrics(old: Content, new: Content) -> list[str]:
    """Between two sets of metrics: dashboards and alerts select by name and label."""
    found = []
    for name, metric in old.items():
        if name not in new:
            found.append(f"{name} is gone")
        elif metric != new[name]:
            found.append(f"{name} changes from {metric} to {new[name]}")
    return found


BREAKING: dict[str, Callable[[Content, Content], list[str]]] = {
    "openapi": openapi,
    "protos": protos,
    "metrics": metrics,
}
"""Name of a golden file → how two of its kind are compared."""
