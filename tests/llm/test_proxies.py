"""The platform's own clients use the proxy of the environment, as the vendors' do."""

import asyncio
from typing import Any

import httpx2
import pytest

from mlops_lib.llm.chat import chat_model, vendor_model
from mlops_lib.llm.transport.proxies import proxy_of
from mlops_lib.settings import LlmSettings
from tests.support.llm_fixtures import Vendor

HI = [{"role": "user", "content": "hi"}]


def answers() -> list[str]:
    """Of the wrapper's client, and of LangChain's without and with an event loop."""
    own = vendor_model("openai:gpt-test", LlmSettings(max_retries=0), {})
    theirs = chat_model("openai:gpt-test", LlmSettings(max_retries=0))
    return [
        asyncio.run(own.answer(HI, {})).text,
        str(theirs.invoke("hi").text),
        str(asyncio.run(theirs.ainvoke("hi")).text),
    ]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_gets_the_calls(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The server is the proxy here, and no name of the address is looked up."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://llm.invalid/v1")
    monkeypatch.setenv(name, vendor.url)
    assert answers() == ["Answer to: hi"] * 3


def test_a_proxy_that_speaks_no_http_is_refused(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to set, and has no password. No client asks again: 50 retries would take minutes."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://me:secret@127.0.0.1:1080")
    settings = LlmSettings(max_retries=50)
    own, theirs = vendor_model("openai:gpt-test", settings, {}), chat_model("openai:gpt-test", settings)

    async def parts() -> list[Any]:
        return [part async for part in own.stream(HI, {})]

    for ask in (
        lambda: asyncio.run(own.answer(HI, {})),
        lambda: asyncio.run(parts()),
        lambda: theirs.invoke("hi"),
        lambda: asyncio.run(theirs.ainvoke("hi")),
    ):
        with pytest.raises(Exception, match=r"proxy of kind socks5h for 127.0.0.1. Set HTTP_PROXY") as found:
            ask()
        assert "secret" not in str(found.value)


@pytest.mark.parametrize("but", ["127.0.0.1", "*", "example.com, 127.0.0.0/8", "127.0.0.1:{port}"])
def test_some_servers_need_no_proxy(vendor: Vendor, monkeypatch: pytest.MonkeyPatch, but: str) -> None:
    """NO_PROXY names them; the proxy does not exist."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", but.format(port=vendor.url.rpartition(":")[2]))
    assert answers() == ["Answer to: hi"] * 3


@pytest.mark.parametrize(
    ("url", "but", "is_direct"),
    [
        ("https://llm.corp.example/v1", "corp.example", True), ("https://llm.corp.example/v1", ".corp.example:443", True),
        ("https://llm.corp.example/v1", "corp.example:8443", False), ("https://llm-corp.example/v1", "corp.example", False),
        ("http://10.1.2.3:8000/v1", "10.0.0.0/8", True), ("http://11.1.2.3:8000/v1", "10.0.0.0/8", False),
        ("http://[fd00::1]:8000/v1", "fd00::/8", True), ("http://[::1]/v1", "::1", True),
        ("http://10.1.2.3:8000/v1", "10.1.2.3:9000,nonsense/8", False), ("http://10.1.2.3:8000/v1", "10.0.0.0/8:8000", True),
        ("https://llm.corp.example/v1", "*.corp.example", True), ("https://llm.corp.example/v1", "*.corp.example:8443", False),
        ("https://llm-corp.example/v1", "*corp.example", False), ("https://llm.corp.example./v1", "a,*", True),
        ("http://[::1]:8000/v1", "[::1]", True), ("http://[::1]:8000/v1", "[::1]:8000", True),
        ("http://[::1]:8000/v1", "[::1]:9000", False), ("http://[::1]:8000/v1", "[::2]", False),
    ],
)  # fmt: skip
def test_no_proxy_has_names_ports_and_networks(
    monkeypatch: pytest.MonkeyPatch, url: str, but: str, is_direct: bool
) -> None:
    """In the forms that curl takes."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", but)
    assert proxy_of(httpx2.URL(url)) == (None if is_direct else "http://proxy:1")
