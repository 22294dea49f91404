"""Modules of the page in a real browser, without a service."""

import pytest

from tests.support.browsing import files_alone

pytestmark = pytest.mark.slow


def test_any_body_of_an_error_is_a_failure_of_the_service(browser):
    """JSON without a text for people has the status as its detail; an error may be a text."""
    with files_alone(browser) as page:
        found = page.evaluate(
            """async () => {
              const {failureOf} = await import("/api.js");
              const bodies = ["null", "3", '"x"', "<html>", "[]", '{"error": {}}', '{"detail": [1], "errors": 1}', '{"error": "full"}'];
              return bodies.map(text => failureOf(text, 502)).map(found => found.errors.length ? found.errors : found.detail);
            }"""
        )
    assert found == [*["HTTP 502"] * 7, "full"]


def test_a_list_is_shortened_only_where_storage_is_full(browser):
    """Where it is forbidden, the page keeps all of the list."""
    with files_alone(browser) as page:
        found = page.evaluate(
            """async () => {
              const {storeNewest} = await import("/storage.js");
              const lengthFor = problem => {
                Storage.prototype.setItem = (name, text) => { if (text.length > 5) throw new DOMException("", problem); };
                return storeNewest("list", [1, 2, 3, 4, 5, 6, 7, 8], 8).length;
              };
              return [lengthFor("SecurityError"), lengthFor("QuotaExceededError")];
            }"""
        )
    assert found == [8, 2]


def test_a_late_refusal_leaves_a_newer_key(browser):
    """A request with the key before is refused after another key was entered: that one stays."""
    with files_alone(browser) as page:
        asked = []
        page.route("**/status", lambda route: asked.append(route))
        with page.expect_request("**/status"):
            page.evaluate("import('/main.js')")
        page.evaluate("import('/api.js').then(api => api.key.set('newer'))")
        with page.expect_response("**/status"):
            asked[0].fulfill(status=401, json={"code": "unauthorized"})
        assert page.evaluate("import('/api.js').then(api => api.key.get())") == "newer"
        assert page.locator("#key-form").is_hidden()
