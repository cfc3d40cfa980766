"""Which web pages may call, and what a browser is told."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from runtime.store import DirectoryStore
from service.http_api.application import create_application
from service.http_api.browsers import BrowserPolicy
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from tests.unit.service.parts import running_engine

Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def client_of(shared_store: DirectoryStore, metrics: Metrics, keys: KeyFile) -> Open:
    """A client of an application with this policy."""

    @asynccontextmanager
    async def opened(policy: BrowserPolicy | None = None) -> AsyncIterator[httpx.AsyncClient]:
        async with running_engine(shared_store, metrics, default_model="tiny") as engine:
            application = create_application(
                engine, Lifecycle(engine.registry), metrics, keys, max_body_bytes=1 << 20, browsers=policy
            )
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                yield client

    return opened


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.9:1", "[::1]:8000", "LOCALHOST"])
async def test_without_a_key_the_names_of_this_machine_are_served(client_of: Open, host: str) -> None:
    async with client_of() as client:
        assert (await client.post("/v1/samples", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "[::2]:1"])
async def test_any_other_name_is_refused_as_rebinding_would_have_it(client_of: Open, host: str) -> None:
    async with client_of() as client:
        refused = await client.post("/v1/samples", headers={"Host": host})
        assert refused.status_code == 403
        assert f"Host: got '{host}'; allowed: localhost" in refused.json()["error"]["message"]
        assert (await client.get("/readyz", headers={"Host": host})).status_code == 200, "probes come by address"


async def test_with_keys_any_name_is_served_unless_names_are_set(client_of: Open, keys: KeyFile) -> None:
    headers = {"Authorization": f"Bearer {keys.create('a')}", "Host": "api.example"}
    async with client_of() as client:
        assert (await client.post("/v1/samples", headers=headers)).status_code == 200
    async with client_of(BrowserPolicy(frozenset({"other.example"}))) as client:
        assert (await client.post("/v1/samples", headers=headers)).status_code == 403
    async with client_of(BrowserPolicy(frozenset({"api.example"}))) as client:
        assert (await client.post("/v1/samples", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "https://a.example.evil", "http://[", ""]
)
async def test_a_page_of_another_site_may_not_call(client_of: Open, origin: str) -> None:
    async with client_of(BrowserPolicy(cors_origins=frozenset({"https://a.example"}))) as client:
        refused = await client.post("/v1/samples", headers={"Origin": origin})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
        assert "access-control-allow-origin" not in refused.headers
        asked = await client.options("/v1/samples", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert asked.status_code == 403
        read = await client.get("/v1/models", headers={"Origin": origin})
        assert "access-control-allow-origin" not in read.headers, "the browser keeps the answer from the page"


async def test_the_servers_own_page_may_call(client_of: Open) -> None:
    async with client_of() as client:
        for origin in ("http://127.0.0.1:8000", "https://127.0.0.1:8000"):
            assert (await client.post("/v1/samples", headers={"Origin": origin})).status_code == 200


async def test_a_page_that_is_allowed_asks_first_and_reads_answers_and_errors(client_of: Open, keys: KeyFile) -> None:
    key = keys.create("a")
    async with client_of(BrowserPolicy(cors_origins=frozenset({"https://a.example"}))) as client:
        headers = {"Origin": "https://A.example"}
        asked = await client.options("/v1/samples", headers={**headers, "Access-Control-Request-Method": "POST"})
        assert asked.status_code == 204, "without a key: a browser sends none when it asks"
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        answers = [
            asked,
            await client.post("/v1/samples", headers=headers),
            await client.post("/v1/samples", headers={**headers, "Authorization": f"Bearer {key}"}),
        ]
        assert [answer.status_code for answer in answers] == [204, 401, 200]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == "https://A.example"
            assert answer.headers["vary"] == "Origin"
            assert "X-Latentd-Seed" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers


async def test_every_origin_may_be_allowed(client_of: Open) -> None:
    async with client_of(BrowserPolicy(cors_origins=frozenset({"*"}))) as client:
        answer = await client.post("/v1/samples", headers={"Origin": "null"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/v1/models", "/v1/nothing", "/v2"])
async def test_every_answer_has_the_headers_that_keep_a_browser_safe(client_of: Open, path: str) -> None:
    async with client_of() as client:
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
        assert "server" not in headers


async def test_the_page_runs_its_own_script_and_no_other(client_of: Open) -> None:
    async with client_of() as client:
        page = await client.get("/")
        policy = page.headers["content-security-policy"]
        for tag, directive in (("script", "script-src"), ("style", "style-src")):
            assert len(re.findall(rf"<{tag}\b", page.text)) == len(re.findall(rf"<{tag}>", page.text)), "no src"
            assert len(re.findall(rf"{directive} ('sha256-[A-Za-z0-9+/=]+' ?)+;", policy)) == 1
        assert "unsafe" not in policy
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", page.text), "the policy would block it"
