"""The page for people, in a real browser."""

import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_lib.registry import Registry
from serving.web.api_keys import make
from tests.support.promoting import promote
from tests.support.shop import FEATURES, ROOT, ROW, answers, copy, running

pytestmark = pytest.mark.slow


@contextmanager
def opened(chromium, url):
    """The page, and what its script has said; it must not have failed."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{url}/")
        yield page
        browser.close()
    assert [error for error in errors if "status of 4" not in error] == []  # Chromium's line for every 4xx


def tried(page):
    """Status and body of what the button asks."""
    with page.expect_response("**/predict") as answer:
        page.click("#send")
    said = answer.value.json()
    page.locator("#answer", has_text=said["request_id"]).wait_for()
    assert json.loads(page.inner_text("#answer")) == said
    return answer.value.status, said


def test_the_page_shows_the_model_and_answers_a_try(shop, shop_service, chromium, tmp_path):
    """Name and version, live figures, a form from the signature, the model's own prediction; an error is shown too."""
    expected = answers(shop, 1)
    shop_service.post("/predict", ROW)
    with opened(chromium, shop_service.url) as page:
        page.locator("#name", has_text="shop 1").wait_for(timeout=60_000)
        assert page.locator("#form input").count() == len(FEATURES)
        example = {name: page.input_value(f"#column-{name}") for name in FEATURES}
        assert example["frequency"].isdecimal() and re.fullmatch(r"\d+\.0", example["amount"]), example
        assert not example["recency"].endswith(".0"), "cut to whole numbers"
        for name, value in ROW.items():
            page.fill(f"#column-{name}", str(value))
        status, said = tried(page)
        assert status == 200 and said["predictions"] == pytest.approx(expected, abs=1e-6)
        assert "ms" in page.inner_text("#tiles") and "Production" in page.inner_text("#card")
        page.fill("#column-amount", "much")
        status, said = tried(page)
        assert (status, said["code"]) == (422, "invalid_input")
        page.screenshot(path=tmp_path / "page.png", full_page=True)

        def registry_is_away(route):
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "stale": True, "problem": "It is away."})

        page.route("**/status", registry_is_away)
        page.locator("#state", has_text="registry away").wait_for()
        assert page.inner_text("#note") == "It is away."


def test_the_page_asks_for_a_key_and_says_what_was_refused(shop, chromium, tmp_path):
    """Columns of any name and kind are sent as what they are; a version that was refused is named with the reason."""
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    file, (key, line) = tmp_path / "keys.yaml", make("ops", admin=True)
    file.write_text(line)
    settings = copy(shop, tmp_path / "project", api_keys=str(file))
    registry = Registry(settings)
    example = pd.DataFrame({"length": [2.5], "item": [True], "append": ["four"]})
    for _ in range(2):
        with mlflow.start_run():
            mlflow.pyfunc.log_model(
                name="model",
                python_model=str(ROOT / "tests/support/odd.py"),
                signature=infer_signature(example, [1.0]),
                input_example=example,
                pip_requirements=[],
                registered_model_name="odd",
            )
    files = Path(registry._client.get_model_version_download_uri("odd", "2").removeprefix("file://"))
    for code in files.rglob("odd.py"):
        code.write_text("raise RuntimeError('this one is broken')")
    promote(registry, "odd", 1)
    with running(settings, MLFLOW_MODEL_NAME="odd") as service, opened(chromium, service.url) as page:
        page.locator("#state", has_text="needs a key").wait_for()
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.locator("#name", has_text="odd 1").wait_for()
        assert page.input_value("#column-item") == "true"
        assert tried(page)[1]["predictions"] == 106.5
        page.select_option("#column-item", "false")
        page.fill("#column-length", "7")
        assert tried(page)[1]["predictions"] == 11.0
        promote(registry, "odd", 2)
        page.locator("#note", has_text="champion version 2 was refused").wait_for(timeout=60_000)
        assert "this one is broken" in page.inner_text("#note")
        assert tried(page)[1]["model"]["version"] == 1
