"""The platform's own clients use the proxy of the environment, as the vendors' do."""

import asyncio

import pytest

from mlops_lib.llm.chat import chat_model, vendor_model
from mlops_lib.llm.vendors.vendor import VendorError
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
    """The error says what to set, and has no password."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://me:secret@127.0.0.1:1080")
    model = vendor_model("openai:gpt-test", LlmSettings(max_retries=0), {})
    with pytest.raises(VendorError, match=r"proxy of kind socks5h for 127.0.0.1. Set HTTP_PROXY") as found:
        asyncio.run(model.answer(HI, {}))
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("but", ["127.0.0.1", "*"])
def test_some_servers_need_no_proxy(vendor: Vendor, monkeypatch: pytest.MonkeyPatch, but: str) -> None:
    """NO_PROXY names them; the proxy does not exist."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", but)
    assert answers() == ["Answer to: hi"] * 3
