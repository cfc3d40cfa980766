"""Aliases over HTTP: names that stand for a version, with a share of the requests on another."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.aliases import Alias
from service.http_api.answers import AliasObject, Canary, Listed
from service.http_api.requests import body_schema, engine_of, read_json

router = APIRouter(tags=["latentd"])

_EXAMPLE = {"target": "digits-cgan@1", "canary": {"target": "digits-cgan@2", "weight": 0.1}}

AliasPath = Annotated[str, Path(description="lower-case letters, digits, '.', '_' and '-'; not the name of a model")]


@router.get("/v1/aliases", summary="List aliases")
async def list_aliases(request: Request) -> Listed[AliasObject]:
    """Every alias with what it stands for."""
    aliases = engine_of(request).registry.aliases()
    return {"object": "list", "data": [alias_body(name, alias) for name, alias in aliases.items()]}


@router.get("/v1/aliases/{alias}", summary="One alias")
async def get_alias(request: Request, alias: AliasPath) -> AliasObject:
    """What an alias stands for."""
    return alias_body(alias, engine_of(request).registry.alias(alias))


@router.put("/v1/aliases/{alias}", summary="Set an alias", openapi_extra=body_schema(Alias, _EXAMPLE))
async def put_alias(request: Request, alias: AliasPath) -> AliasObject:
    """Set or replace an alias, all at once; requests that have begun end on their version. Scope: admin."""
    body = await read_json(request, Alias)
    await engine_of(request).registry.set_alias(alias, body)
    return alias_body(alias, body)


@router.delete("/v1/aliases/{alias}", summary="Delete an alias", status_code=204, response_class=Response)
async def delete_alias(request: Request, alias: AliasPath) -> Response:
    """Remove an alias; the versions stay. Scope: admin."""
    await engine_of(request).registry.delete_alias(alias)
    return Response(status_code=204)


def alias_body(name: str, alias: Alias) -> AliasObject:
    """The alias object."""
    canary: Canary | None = None
    if alias.canary is not None:
        canary = {"target": alias.canary.target, "weight": alias.canary.weight}
    return {"object": "alias", "alias": name, "target": alias.target, "canary": canary}
