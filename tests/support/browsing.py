"""The page in Chromium: opened with a watch for errors of its scripts, pictured, and checked for accessibility."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.pages import home
from tests.support.waiting import LIMIT_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

#: A phone.
NARROW = {"width": 390, "height": 844}
#: Rules that axe-core may break; each has a reason.
ALLOWED: dict[str, str] = {}


@contextmanager
def opened(browser: "Browser", url: str, **context: Any) -> Iterator["Page"]:
    """The page in a browser of its own; its scripts and its policy must not have failed, and it asked nobody else.

    Args:
        context: Playwright's options: ``locale``, ``color_scheme``, ``viewport``, ...
    """
    errors: list[str] = []
    own = browser.new_context(**{"locale": "en-US", **context})
    page = own.new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda sent: errors.append(sent.url) if not sent.url.startswith(url) else None)
    page.goto(f"{url}/")
    yield page
    own.close()
    # Chromium has a line of its own for each answer that is an error.
    assert [error for error in errors if "the server responded with a status of" not in error] == []


@contextmanager
def files_alone(browser: "Browser", url: str = "http://page.test") -> Iterator["Page"]:
    """A page with the modules of the page at hand and its policy, without a service."""

    def answer(route: "Route") -> None:
        name = route.request.url.removeprefix(f"{url}/")
        headers = {"Content-Security-Policy": home.POLICY}
        kind = home.MEDIA_TYPES[Path(name or "x.html").suffix]
        content = (
            home.FILES[name]
            if name
            else b"<!doctype html><html lang=en><title>x</title><main id=place></main></html>"
        )
        route.fulfill(body=content, headers=headers, content_type=f"{kind}; charset=utf-8")

    page = browser.new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    page.route("**/*", answer)
    page.goto(f"{url}/")
    yield page
    page.close()


def fits(page: "Page") -> bool:
    """Whether nothing of the page must be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def violations(page: "Page") -> list[str]:
    """The rules of axe-core (WCAG 2.2 AA and good practice) that the page breaks, with the elements."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{broken['id']}: {broken['help']}: {node['html']}"
        for broken in found
        if broken["id"] not in ALLOWED
        for node in broken["nodes"]
    ]


def picture(page: "Page", folder: Path, name: str) -> None:
    """A screenshot, in the test's folder or in the one that PAGE_PICTURES names."""
    folder = Path(os.environ.get("PAGE_PICTURES", folder))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
