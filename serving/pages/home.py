"""/: a page with the served model, its latest figures and a form."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import Response

from serving.web.route import get

PAGE = Path(__file__).with_name("home.html").read_text(encoding="utf-8")


def _hashes(tag: str) -> str:
    """Content-Security-Policy sources of the page's own scripts or styles; nothing else may run."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page() -> Response:
    """The page; its data come from /status, behind the key where there is one."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})


ROUTES = (get("/", page, "pages", access="open", shown=False),)
