"""Chat models, embeddings and judges by name: ``provider:model``.

``openai:gpt-4o-mini`` (or any OpenAI-compatible server at OPENAI_BASE_URL), ``anthropic:claude-...``, and
``fake:extract``, which ships with the platform and needs no key. Keys come from the environment alone.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ModelError
from mlops_lib.settings import LlmSettings

if TYPE_CHECKING:
    import httpx2
    from langchain_core.language_models import BaseChatModel
    from openai import AsyncOpenAI

    from mlops_lib.llm.transport.metered import Metered
    from mlops_lib.llm.vendors.vendor import VendorModel

PROVIDERS = ("anthropic", "fake", "openai")
#: Provider -> environment variable of its key.
KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
#: Stands for a missing key in a vendor's client. A call without a key is refused before it is sent.
NO_KEY = "none"


def split(name: str) -> tuple[str, str]:
    """Provider and model of ``provider:model``.

    Raises:
        ModelError: The name has another form, or the provider is unknown.
    """
    provider, _, model = name.partition(":")
    if provider not in PROVIDERS or not model:
        raise ModelError(
            f"Unknown LLM {name!r}. Write provider:model with a provider of {', '.join(PROVIDERS)}, "
            "for example openai:gpt-4o-mini or fake:extract."
        )
    return provider, model


def chat_model(name: str, settings: LlmSettings | None = None, **params: Any) -> "BaseChatModel":
    """A LangChain chat model on the vendor's own SDK.

    Args:
        name: ``provider:model``.
        settings: Time-out, retries and prices; None: the defaults.
        params: The model's own parameters: ``temperature``, ``max_tokens``, ...

    Raises:
        ModelError: The provider is unknown, or its package is not installed.
    """
    settings = settings or LlmSettings()
    provider, model = split(name)
    transport = _transport(provider, settings)
    options: dict[str, Any] = {
        "model": model,
        "max_retries": settings.max_retries,
        "timeout": settings.timeout_s,
        **params,
    }
    try:
        if provider == "anthropic":
            return _anthropic(transport, options)
        from langchain_openai import ChatOpenAI
    except ImportError as error:
        raise ModelError(
            f"{name!r} needs a package that is not installed: {error}. pip install 'mlops-lib[llm]'"
        ) from error
    client, async_client = _http(transport)
    return ChatOpenAI(
        **options,
        **_openai_account(provider),
        http_client=client,
        http_async_client=async_client,
        stream_usage=True,
    )


def vendor_model(name: str, settings: LlmSettings, params: Mapping[str, Any]) -> "VendorModel":
    """A chat model without LangChain on its path, where the vendor speaks OpenAI's chat completions.

    Raises:
        ModelError: As `chat_model`.
    """
    from mlops_lib.llm.vendors import chat_client
    from mlops_lib.llm.vendors.langchain_client import LangChainClient

    provider, model = split(name)
    if not chat_client.suits(provider, model, params):
        return LangChainClient(provider, chat_model(name, settings, **params))
    account = _openai_account(provider)
    return chat_client.ChatClient(
        _transport(provider, settings),
        account["base_url"],
        account["api_key"],
        model,
        params,
        settings.max_retries,
    )


def openai_client(name: str, settings: LlmSettings | None = None) -> "AsyncOpenAI":
    """The OpenAI SDK's client for embeddings and judges, on the same transport.

    Raises:
        ModelError: The provider does not speak OpenAI's protocol, like ``anthropic:``.
    """
    from openai import AsyncOpenAI

    settings = settings or LlmSettings()
    provider, _ = split(name)
    if provider == "anthropic":
        raise ModelError(f"{name!r} does not speak OpenAI's protocol; use an openai: model here.")
    account = _openai_account(provider)
    return AsyncOpenAI(
        api_key=account["api_key"],
        base_url=account["base_url"],
        max_retries=settings.max_retries,
        timeout=settings.timeout_s,
        http_client=_http(_transport(provider, settings))[1],
    )


def _openai_account(provider: str) -> dict[str, Any]:
    if provider == "fake":
        return {"api_key": NO_KEY, "base_url": "http://fake/v1"}
    base_url = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    return {"api_key": os.environ.get("OPENAI_API_KEY") or NO_KEY, "base_url": base_url}


def _http(transport: "Metered") -> "tuple[httpx2.Client, httpx2.AsyncClient]":
    import httpx2

    return (
        httpx2.Client(transport=transport, timeout=transport.timeout_s),
        httpx2.AsyncClient(transport=transport, timeout=transport.timeout_s),
    )


def _transport(provider: str, settings: LlmSettings) -> "Metered":
    from mlops_lib.llm.fake.provider import FakeServer
    from mlops_lib.llm.transport.aiohttp_transport import AiohttpTransport
    from mlops_lib.llm.transport.call import Provider
    from mlops_lib.llm.transport.metered import Metered
    from mlops_lib.llm.transport.proxies import BlockingTransport

    def connect(is_async: bool) -> Any:
        if provider == "fake":
            return FakeServer()
        if is_async:
            return AiohttpTransport()
        return BlockingTransport()

    variable = KEY_VARIABLES.get(provider, "")
    own_server = provider == "openai" and bool(os.environ.get("OPENAI_BASE_URL"))
    has_key = provider == "fake" or own_server or os.environ.get(variable, "") not in ("", NO_KEY)
    return Metered(Provider(provider, variable, has_key, connect), settings.timeout_s, settings.prices)


def _anthropic(transport: "Metered", options: dict[str, Any]) -> "BaseChatModel":
    from functools import cached_property

    import anthropic
    from langchain_anthropic import ChatAnthropic

    client, async_client = _http(transport)

    class Claude(ChatAnthropic):
        """ChatAnthropic with vendor clients on our transport, which it does not take as an argument."""

        @cached_property
        def _client(self) -> anthropic.Client:
            return anthropic.Client(**self._client_params, http_client=client)

        @cached_property
        def _async_client(self) -> anthropic.AsyncClient:
            return anthropic.AsyncClient(**self._client_params, http_client=async_client)

    return Claude(**options, api_key=os.environ.get("ANTHROPIC_API_KEY") or NO_KEY)
