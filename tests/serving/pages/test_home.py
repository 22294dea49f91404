"""The page for models that take rows, in a real browser: score and gate, the form, its errors, answers in words, history."""

from pathlib import Path

import pytest

from mlops_lib.registry import Registry
from serving.web.api_keys import make
from tests.support import customers
from tests.support.browsing import NARROW, files_alone, fits, opened, picture, violations
from tests.support.promoting import promote
from tests.support.shop import ROOT, ROW, answers, copy, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def churn(tmp_path_factory):
    """The service on a classifier of customers, with columns of every kind."""
    with running(customers.make(tmp_path_factory.mktemp("customers") / "project")) as service:
        yield service


def tried(page):
    """Status and body of what the button asks; the page shows the same."""
    with page.expect_response("**/predict") as answer:
        page.click("#send")
    said = answer.value.json()
    page.locator("#history tbody tr").first.wait_for()
    if answer.value.ok:
        page.locator("#raw", has_text=said["request_id"]).wait_for(state="attached")
    return answer.value.status, said


def test_score_and_gate_come_first_and_the_answer_in_words(browser, churn, tmp_path):
    """The score at registration and the gate's outcome; inputs that fit the kinds; the class by its name."""
    with opened(browser, churn.url) as page:
        page.locator("#name", has_text="churn 1").wait_for()
        assert page.locator("#score").inner_text().split("\n")[:5] == [
            "Score",
            "0.7712",
            "roc_auc",
            "Gate",
            "passed",
        ]
        assert "not worse, compared with version 1" in page.inner_text("#score")
        kinds = {
            name: page.get_by_label(name).evaluate(
                "input => input.tagName + ' ' + (input.inputMode || input.type)"
            )
            for name in ("성별", "고령자", "월 요금", "가입일", "자동 결제")
        }
        assert kinds == {
            "성별": "SELECT select-one", "고령자": "INPUT numeric", "월 요금": "INPUT decimal", "가입일": "INPUT date",
            "자동 결제": "SELECT select-one",
        }  # fmt: skip
        status, said = tried(page)
        share = said["predictions"]
        name, probability = max(
            zip(said["classes"], (1 - share, share), strict=True), key=lambda pair: pair[1]
        )
        words = page.inner_text("#answer .sentence")
        assert status == 200 and words == f"이탈: most likely {name}, with a probability of {probability:.1%}"
        assert next(row.split("\n")[0] for row in page.locator(".bars li").all_inner_texts()) == name
        picture(page, tmp_path, "form")
        assert violations(page) == []


def test_errors_mark_their_fields(browser, churn, tmp_path):
    """A value that the service refuses, and one that is missing: marked, described and focused; then they are gone."""
    with opened(browser, churn.url) as page:
        amount, age = page.get_by_label("월 요금"), page.get_by_label("고령자")
        amount.fill("much")
        status, said = tried(page)
        assert status == 422 and said["errors"] == [
            {"row": 0, "column": "월 요금", "detail": "must be a number"}
        ]
        page.locator("#summary", has_text="One field to correct.").wait_for()
        assert amount.get_attribute("aria-invalid") == "true" and age.get_attribute("aria-invalid") is None
        assert amount.evaluate("input => input === document.activeElement")
        described = amount.evaluate(
            "input => document.getElementById(input.getAttribute('aria-describedby')).textContent"
        )
        assert described == "must be a number"
        assert violations(page) == []
        picture(page, tmp_path, "form-wrong")
        amount.fill("70.5")
        age.fill("")
        page.get_by_label("성별").select_option("")
        page.click("#send")
        assert page.inner_text(
            "#summary"
        ) == "2 fields to correct." and "A value is needed." in page.inner_text("#form")
        assert page.get_by_label("성별").evaluate("input => input === document.activeElement")
        age.fill("1")
        page.get_by_label("성별").select_option("other")
        page.get_by_label("Another value...").first.fill("모름")
        page.get_by_label("총 요금").fill("")
        with page.expect_request("**/predict") as sent:
            assert tried(page)[0] == 200
        row = sent.value.post_data_json["inputs"]
        assert (
            row["성별"] == "모름" and row["고령자"] == 1 and row["월 요금"] == 70.5 and "총 요금" not in row
        )
        assert page.locator("[aria-invalid=true]").count() == 0 and page.inner_text("#summary") == ""


def test_a_number_beyond_the_range_of_javascript_is_sent_as_typed(browser):
    """As JSON, infinity would be null, which a column that may be empty takes as a missing value."""
    with files_alone(browser) as page:
        read = page.evaluate(
            """async () => {
              const {fieldOf} = await import("/fields.js");
              return ["1e999", "-1e999", "1e30"].map(text => {
                const field = fieldOf({name: "x", type: "number", nullable: true}, 1);
                field.write(text);
                return field.read();
              });
            }"""
        )
    assert read == ["1e999", "-1e999", 1e30]


def test_the_history_outlives_a_reload_and_fills_the_form(browser, churn):
    """Requests with their answers, kept in the browser: used again, and cleared."""
    with opened(browser, churn.url) as page:
        page.get_by_label("가입 개월").fill("7")
        assert tried(page)[0] == 200
        page.get_by_label("가입 개월").fill("seven")
        assert tried(page)[0] == 422
        page.reload()
        rows = page.locator("#history tbody tr")
        rows.nth(1).wait_for()
        assert (
            "must be a whole number" in rows.first.inner_text() and "most likely" in rows.nth(1).inner_text()
        )
        rows.nth(1).get_by_role("button", name="Use again").click()
        assert page.get_by_label("가입 개월").input_value() == "7"
        page.get_by_role("button", name="Clear").click()
        assert rows.count() == 0 and page.get_by_text("No requests from this browser yet.").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_korean_needs_no_scrolling_sideways(browser, churn, tmp_path, scheme):
    """390 px wide, in Korean: form, answer and error; axe-core finds nothing."""
    with opened(browser, churn.url, viewport=NARROW, locale="ko-KR", color_scheme=scheme) as page:
        page.locator("#send", has_text="예측").wait_for()
        tried(page)
        assert "가장 가능성 높은 값은" in page.inner_text("#answer") and fits(page)
        page.get_by_label("월 요금").fill("많음")
        tried(page)
        page.locator("#summary", has_text="고칠 항목이 1개 있습니다.").wait_for()
        assert "필요한 형식: 숫자" in page.inner_text("#form") and fits(page)
        picture(page, tmp_path, f"form-phone-{scheme}")
        assert violations(page) == []


def test_the_state_of_the_service_is_told(browser, shop, shop_service):
    """Name and version, live figures, the model's own prediction as a number of a class; the registry that is away."""
    expected = answers(shop, 1)
    shop_service.post("/predict", ROW)
    with opened(browser, shop_service.url) as page:
        page.locator("#name", has_text="shop 1").wait_for()
        example = {name: page.get_by_label(name).input_value() for name in ROW}
        assert example["frequency"].isdecimal() and example["amount"].endswith(".0"), example
        assert not example["recency"].endswith(".0"), "cut to whole numbers"
        for name, value in ROW.items():
            page.get_by_label(name).fill(str(value))
        status, said = tried(page)
        assert status == 200 and said["predictions"] == pytest.approx(expected, abs=1e-6)
        assert "ms" in page.inner_text("#tiles") and "Production" in page.inner_text("#score")

        def registry_is_away(route):
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "stale": True, "problem": "It is away."})

        page.route("**/status", registry_is_away)
        page.locator("#state", has_text="registry away").wait_for()
        assert page.inner_text("#note") == "It is away."


def test_the_page_asks_for_a_key_and_says_what_was_refused(browser, shop, tmp_path):
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
    with running(settings, MLFLOW_MODEL_NAME="odd") as service, opened(browser, service.url) as page:
        page.locator("#state", has_text="needs a key").wait_for()
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.locator("#name", has_text="odd 1").wait_for()
        assert page.get_by_label("item").input_value() == "true"
        assert tried(page)[1]["predictions"] == 106.5
        assert page.inner_text("#answer .sentence") == "Prediction: 106.5"
        page.get_by_label("item").select_option("false")
        page.get_by_label("length").fill("7")
        assert tried(page)[1]["predictions"] == 11.0
        promote(registry, "odd", 2)
        page.locator("#note", has_text="Champion version 2 was refused").wait_for()
        assert "this one is broken" in page.inner_text("#note")
        assert tried(page)[1]["model"]["version"] == 1
