"""LLM calls that no transport of the platform sends, such as those of Bedrock and Gemini: an evaluation notes their addresses.

boto3 and requests send with urllib3, Google's asynchronous client with aiohttp, and some clients with httpx under paths of
their own. Their libraries' methods are changed, once a process, and pass each request on as it is.
"""

import re
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from mlops_lib.llm.accounting.ledger import in_force, note_call

#: Ends of the paths of LLM calls: OpenAI's and Anthropic's, Ollama's, Google's, and Bedrock's.
LLM_PATH = re.compile(
    r"/(chat/completions|completions|embeddings|responses|v1/messages|api/(chat|generate|embed)"
    r"|models/[^/]+:\w*(generate|embed|predict)\w*|model/[^/]+/(converse|invoke)[\w-]*)$",
    re.IGNORECASE,
)


def note(method: str, host: str, path: str) -> None:
    """Note a request, if it is a call of an LLM and an evaluation is open."""
    if method.upper() == "POST" and LLM_PATH.search(path):
        with in_force():
            note_call(f"{host}{path}")


def watch() -> None:
    """From now on, note the LLM calls that urllib3 and aiohttp send, but for those of the platform. Call it once."""
    import aiohttp
    from urllib3.connectionpool import HTTPConnectionPool

    from mlops_lib.llm.transport.aiohttp_transport import Connector

    urlopen, request = HTTPConnectionPool.urlopen, aiohttp.ClientSession._request

    @wraps(urlopen)
    def noted_urlopen(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        asked = urlsplit(url)  # with the host in it, the request goes through a proxy
        note(method, asked.hostname or self.host, asked.path)
        return urlopen(self, method, url, *args, **kwargs)

    @wraps(request)
    async def noted_request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        if not isinstance(self.connector, Connector):
            full = self._build_url(url)
            note(method, full.host or "", full.raw_path)
        return await request(self, method, url, **kwargs)

    HTTPConnectionPool.urlopen = noted_urlopen  # type: ignore[method-assign]
    aiohttp.ClientSession._request = noted_request  # type: ignore[method-assign]
