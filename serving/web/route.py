"""A row of the route table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

#: Who may call: everyone; a caller with a key, where the service has keys; an admin.
Access = Literal["open", "key", "admin"]
#: A request's body as OpenAPI describes it: a msgspec type, or content type -> media type object.
Body = type[msgspec.Struct] | Mapping[str, Any]
#: The body is the rows of the served model. Its schema is `Body` among the document's components.
MODEL_ROWS: Mapping[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}


@dataclass(frozen=True, kw_only=True)
class Route:
    """The declaration that all kinds of routes share.

    Attributes:
        method: HTTP method.
        path: Path template; ``{name}`` stands for one segment. It labels the route in metrics and traces.
        tag: Heading in the API's description.
        access: Who may call it.
        request: Type of the body, for OpenAPI; None: the route takes no body.
        example: Makes a JSON body that works from the served model, for OpenAPI; None from it:
            this model has none.
    """

    method: str
    path: str
    tag: str
    access: Access = "key"
    request: Body | None = None
    example: Callable[[Any], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class HandlerRoute(Route):
    """A route that FastAPI answers.

    Attributes:
        handler: An endpoint function of FastAPI's.
        status: HTTP status of a successful answer.
        shown: Whether OpenAPI describes it.
    """

    handler: Callable[..., Awaitable[Any]]
    status: int = 200
    shown: bool = True


def get(path: str, handler: Callable[..., Awaitable[Any]], tag: str, **options: Any) -> HandlerRoute:
    """A route for GET that FastAPI answers."""
    return HandlerRoute(method="GET", path=path, handler=handler, tag=tag, **options)


def delete(path: str, handler: Callable[..., Awaitable[Any]], tag: str, **options: Any) -> HandlerRoute:
    """A route for DELETE that FastAPI answers."""
    return HandlerRoute(method="DELETE", path=path, handler=handler, tag=tag, **options)


def post(path: str, handler: Callable[..., Awaitable[Any]], tag: str, **options: Any) -> HandlerRoute:
    """A route for POST that FastAPI answers."""
    return HandlerRoute(method="POST", path=path, handler=handler, tag=tag, **options)
