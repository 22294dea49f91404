"""The route table: every route of the service, and how a request finds its own.

Gateway, keys, metrics, cancellation and the API's description are derived from it.
A new protocol is one module in `serving.protocols` and one line here.
"""

import re
from collections.abc import Iterable, Mapping
from types import ModuleType

from serving.operations import admin, feedback, health
from serving.pages import docs, home
from serving.protocols import mlflow, open_inference, openai, rows, threads
from serving.web.call import NO_VALUES
from serving.web.route import Route

#: Modules with `ROUTES`, each a tuple of `Route`.
PROTOCOLS: list[ModuleType] = [rows, threads, mlflow, openai, open_inference]
OTHERS: list[ModuleType] = [feedback, admin, health, home, docs]


class RouteTable:
    """Finds the route of a request.

    Args:
        routes: All routes, in the order in which the API's description lists them.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact = {(r.method, r.path): (r, NO_VALUES) for r in self.routes if "{" not in r.path}
        self._templates = [(r.method, _pattern(r.path), r) for r in self.routes if "{" in r.path]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route for a path, and the values of its placeholders.
        A slash at the path's end does not matter."""
        if found := self._exact.get((method, path)):
            return found
        path = path.rstrip("/")
        if exact := self._exact.get((method, path)):
            return exact
        for of_method, pattern, route in self._templates:
            if of_method == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None

    def others(self, path: str) -> list[Route]:
        """The routes of a path, one for each method that it takes."""
        methods = sorted({route.method for route in self.routes})
        return [found[0] for method in methods if (found := self.find(method, path))]


def route_table() -> RouteTable:
    """All routes of the service."""
    return RouteTable(route for module in (*PROTOCOLS, *OTHERS) for route in module.ROUTES)


def _pattern(template: str) -> re.Pattern[str]:
    """``/models/{name}`` as an expression; a placeholder is one segment."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))
