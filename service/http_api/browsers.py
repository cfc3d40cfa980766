"""Web pages as callers: which may call at all, and the headers that tell a browser so.

A browser lends any page the network position of its user. Three doors are kept: a page under a name of its own that
resolves to this server (DNS rebinding) is told by the Host header; a form or a script of another site by Origin; and a
script of another site may read answers only where `cors_origins` names it (the Fetch standard's CORS protocol).
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import is_loopback
from service.errors import PermissionDenied
from service.http_api.permissions import OPEN_PATHS
from service.http_api.raw_headers import Pairs, header
from service.keys import KeyFile

_METHODS = b"GET, POST, PUT, DELETE"
_REQUEST_HEADERS = b"Authorization, Content-Type, Accept, X-Request-Id, Idempotency-Key"
_ANSWER_HEADERS = (
    b"X-Request-Id, X-Latentd-Seed, X-Latentd-Model, X-Latentd-Precision, X-Latentd-Shape, X-Latentd-Dtype, Retry-After"
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_PAGES = frozenset({"/", "/docs"})
_NOTHING = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# The interactive documentation is FastAPI's page, which loads Swagger UI from this network.
_DOCUMENTATION = (
    b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com; "
    b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class BrowserPolicy:
    """Which hosts and origins are served.

    Attributes:
        allowed_hosts: names in the Host header; None: any where a key is needed, else loopback alone.
        cors_origins: origins of other sites that may call and read; ``*`` is every one.
    """

    allowed_hosts: frozenset[str] | None = None
    cors_origins: frozenset[str] = frozenset()

    def allows_origin(self, origin: str) -> bool:
        """Whether a page of `origin`, another site, may call."""
        return "*" in self.cors_origins or origin.lower() in self.cors_origins

    def check_host(self, host: str | None, *, keyed: bool) -> None:
        """Refuse names that are not served; `keyed` says whether a key is needed.

        Raises:
            PermissionDenied: naming those that are.
        """
        if host is None:
            return
        name = _host_name(host)
        if is_loopback(name) or (keyed if self.allowed_hosts is None else name in self.allowed_hosts):
            return
        names = ", ".join(sorted(self.allowed_hosts or ())) or "localhost and loopback addresses"
        raise PermissionDenied(f"Host: got {host[:80]!r}; allowed: {names} (setting allowed_hosts)", param="Host")

    def headers(self, scope: Scope) -> Pairs:
        """What the answer to this request tells a browser: what it may do with it, and which origins may read it."""
        path, https = scope["path"], scope.get("scheme") == "https"
        fixed = _fixed_headers(path if path in _PAGES else None, https=https)
        if not self.cors_origins:
            return fixed
        headers = [*fixed, (b"vary", b"Origin")]
        origin = header(scope, b"origin")
        if origin is not None and self.allows_origin(origin):
            allowed = "*" if "*" in self.cors_origins else origin
            headers.append((b"access-control-allow-origin", allowed.encode("latin-1")))
            headers.append((b"access-control-expose-headers", _ANSWER_HEADERS))
        return headers


class BrowserGuard:
    """Refuses hosts and origins that are not served, and answers a browser that asks first (preflight)."""

    def __init__(self, app: ASGIApp, policy: BrowserPolicy, keys: KeyFile) -> None:
        self._app = app
        self._policy = policy
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            host, origin = header(scope, b"host"), header(scope, b"origin")
            self._policy.check_host(host, keyed=self._keys.needed)
            if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
                asks = header(scope, b"access-control-request-method") is not None
                preflight = scope["method"] == "OPTIONS" and asks
                self._check_origin(origin, scope["method"], preflight=preflight)
                if preflight:
                    await _allow_what_was_asked(send)
                    return
        await self._app(scope, receive, send)

    def _check_origin(self, origin: str, method: str, *, preflight: bool) -> None:
        if (method in _SAFE_METHODS and not preflight) or self._policy.allows_origin(origin):
            return
        names = ", ".join(sorted(self._policy.cors_origins)) or "this server's own pages"
        raise PermissionDenied(f"Origin: got {origin[:80]!r}; allowed: {names} (setting cors_origins)", param="Origin")


async def _allow_what_was_asked(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@lru_cache(64)
def _host_name(host: str) -> str:
    """``[::1]:8000`` → ``::1``, ``localhost:8000`` → ``localhost``; what is none of these stays as it is."""
    found = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](:\d+)?|([^:\[\]]+)(:\d+)?", host)
    return (found[1] or found[3]).lower() if found else host


@cache
def _fixed_headers(page: str | None, *, https: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Those that depend on nothing but which page this is, if any, and how it was asked for."""
    policy = _NOTHING if page is None else _DOCUMENTATION if page == "/docs" else _page_policy()
    transport = ((b"strict-transport-security", b"max-age=31536000"),) if https else ()
    return (*_ALWAYS, (b"content-security-policy", policy), *transport)


@cache
def _page_policy() -> bytes:
    """Exactly the page's own script and style, by their hashes; images are data, calls go to this server."""
    page = files("service.http_api").joinpath("page.html").read_text("utf-8")

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found
        )

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    return policy.encode()
