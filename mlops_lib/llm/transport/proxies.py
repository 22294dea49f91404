"""The proxy for an address, from the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY,
in either case."""

import re
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.request import getproxies_environment

import httpx2

LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
#: An entry of NO_PROXY: a name, an address or a network, and perhaps a port.
ENTRY = re.compile(
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+|[^\[\]]*:[^\[\]]*:[^\[\]]*))(?::(?P<port>\d+))?"
)
PORTS = {"http": 80, "https": 443}


def proxy_of(url: httpx2.URL) -> str | None:
    """The address of the proxy; None: the server is asked itself.

    Raises:
        httpx2.UnsupportedProtocol: It is no HTTP proxy.
    """
    found = getproxies_environment()
    proxy = (found.get(url.scheme) or found.get("all") or "").strip()
    if not proxy or _is_direct(url, found):
        return None
    scheme = proxy.partition("://")[0].lower() if "://" in proxy else ""
    if scheme not in ("", "http", "https"):
        raise httpx2.UnsupportedProtocol(
            f"The environment has a proxy of kind {scheme} for {url.host}. Set {url.scheme.upper()}_PROXY to an HTTP proxy, or "
            f"name {url.host} in NO_PROXY."
        )
    return proxy if scheme else f"http://{proxy}"


def _is_direct(url: httpx2.URL, found: dict[str, str]) -> bool:
    """Whether NO_PROXY names the server: ``example.com``, ``.example.com``, ``*.example.com`` (all three with the servers below),
    ``10.0.0.1``, ``::1``, ``10.0.0.0/8``, each with or without a port (``[::1]:8000``), or ``*``."""
    host, port = url.host.rstrip(".").lower(), url.port or PORTS.get(url.scheme)
    for text in found.get("no", "").lower().split(","):
        match = ENTRY.fullmatch(text.strip())
        if match and match["port"] in (None, str(port)) and _names(match["v6"] or match["name"], host):
            return True
    return False


def _names(entry: str, host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry, strict=False)
    name = entry.removeprefix("*").strip(".")
    return entry == "*" or (bool(name) and f".{host}".endswith(f".{name}"))


class BlockingTransport(httpx2.BaseTransport):
    """Sends requests from any thread, by the proxy of their address."""

    def __init__(self) -> None:
        self._by_proxy: dict[str | None, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        proxy = proxy_of(request.url)
        if proxy not in self._by_proxy:
            self._by_proxy[proxy] = httpx2.HTTPTransport(limits=LIMITS, proxy=proxy)
        return self._by_proxy[proxy].handle_request(request)
