"""/: the page for people: a chat for models that take messages, a form for the others.

The page is static files. Its data come from /status and the routes of the API,
behind the key where there is one.
"""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from serving.web.problems import Problem
from serving.web.route import get

MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
FILES = {file.name: file.read_bytes() for file in sorted(Path(__file__).with_name("ui").iterdir())}
#: Part of the files' addresses: it changes with them, so that browsers may keep them for ever.
DIGEST = hashlib.sha256(
    b"\0".join(part for item in FILES.items() for part in (item[0].encode(), item[1]))
).hexdigest()[:16]
PAGE = FILES.pop("index.html").replace(b"{digest}", DIGEST.encode())
#: Nothing from elsewhere, no inline code, and no text that the browser would parse as HTML.
#: Images are those that the page itself has read from a file.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
SECURE = {"Content-Security-Policy": POLICY}


async def page(request: Request) -> Response:
    """The page. Browsers ask for it each time, and it names the files of its version."""
    _require_page(request)
    return Response(PAGE, media_type="text/html", headers={**SECURE, "Cache-Control": "no-cache"})


async def file(request: Request, digest: str, name: str) -> Response:
    """A file of the page. While replicas differ, one may be asked for another's version: it sends its own."""
    _require_page(request)
    if name not in FILES:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", f"The page has no file {name!r}.")
    kept = "public, max-age=31536000, immutable" if digest == DIGEST else "no-store"
    media_type = MEDIA_TYPES[Path(name).suffix]
    return Response(FILES[name], media_type=media_type, headers={**SECURE, "Cache-Control": kept})


def _require_page(request: Request) -> None:
    if not request.app.state.service.settings.serving.page:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", "This service has no page: serving.page is false.")


OPEN: dict[str, Any] = {"tag": "pages", "access": "open", "shown": False}
ROUTES = (get("/", page, **OPEN), get("/ui/{digest}/{name}", file, **OPEN))
