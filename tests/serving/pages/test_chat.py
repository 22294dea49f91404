"""The chat in a real browser, on a served graph: as a person with a mouse, a keyboard, a phone or a screen reader uses it."""

import json
import re

import pyarrow.parquet as pq
import pytest

from tests.support import talk
from tests.support.browsing import NARROW, fits, opened, picture, violations
from tests.support.shop import running
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The service on the graph `talk`, and keys by name."""
    folder = tmp_path_factory.mktemp("talk")
    settings, keys = talk.make(folder / "project")
    with running(settings) as service:
        yield service, keys, folder / "project"


@pytest.fixture
def page(browser, served):
    """The chat, opened with ada's key."""
    service, keys, _ = served
    with opened(browser, service.url) as found:
        use_key(found, keys["ada"])
        yield found


def use_key(page, key):
    page.fill("#key", key)
    page.press("#key", "Enter")
    page.locator("#composer").wait_for()


def ask(page, text):
    """Send a question, and wait for the end of its answer."""
    before = page.locator("article.answer").count()
    page.fill("#question", text)
    page.press("#question", "Enter")
    return ended(page, before)


def without_threads(page):
    """Show the page of the same model as one that keeps no conversations."""

    def status(route):
        answer = route.fetch()
        inputs = [column for column in answer.json()["inputs"] if column["name"] == "question"]
        route.fulfill(response=answer, json={**answer.json(), "inputs": inputs})

    page.route("**/status", status)
    page.reload()
    page.locator("#composer").wait_for()


def ended(page, number):
    """The answer of a number, once it is complete."""
    page.locator("article.answer[aria-busy=false]").nth(number).wait_for()
    page.locator("#send").wait_for()
    return page.locator("article.answer").nth(number)


def test_an_answer_comes_with_markdown_and_its_sources(page, tmp_path):
    """An example question of the golden dataset, its answer in pieces, the passages behind its citations, no other origin."""
    asked = page.locator(".example").all_inner_texts()
    assert asked == [
        "What is the gate?",
        "How do I roll back a version?",
        "게이트는 무엇인가요?",
        "버전을 어떻게 되돌리나요?",
    ]
    page.click(".example >> nth=0")
    answer = ended(page, 0)
    assert answer.locator("strong").first.inner_text() == "gate" and answer.locator("td").count() == 4
    link = answer.get_by_role("link", name="the documentation")
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    assert answer.locator(".sources summary").inner_text() == "Sources (2)"
    assert not answer.locator(".passage").first.is_visible()
    answer.get_by_role("button", name="Source 2").click()
    passage = answer.locator(".sources li").nth(1)
    assert passage.is_visible() and "mlops rollback MODEL" in passage.inner_text()
    assert passage.evaluate("element => element === document.activeElement")
    picture(page, tmp_path, "chat-answer")
    assert violations(page) == []


def test_hostile_text_of_a_model_is_shown_and_never_run(page):
    """Script, image and link of a model's answer are its text."""
    hostile = (
        "<script>window.hacked=1</script> <img src=x onerror=window.hacked=1> [x](javascript:window.hacked=1)"
    )
    answer = ask(page, f"say {hostile}")
    assert answer.locator(".markdown").inner_text() == hostile
    assert page.evaluate("window.hacked") is None and answer.locator("img, script, .markdown a").count() == 0


def test_tool_calls_are_folded_with_arguments_and_result(page):
    """A graph whose events are all shown: the call with its arguments, and what the tool gave."""
    answer = ask(page, "tool")
    assert answer.locator(".markdown").inner_text() == "The sum is 5."
    tool = answer.locator("details.tool")
    assert tool.locator("summary").inner_text() == "Tool add" and not tool.locator("pre").first.is_visible()
    tool.locator("summary").click()
    assert json.loads(tool.locator("pre").first.inner_text()) == {"a": 2, "b": 3}
    assert tool.locator("pre").nth(1).inner_text() == "5"


def test_a_tool_call_of_an_inner_graph_is_shown_once(page):
    """The update of the node around the inner graph has all of its messages again, also those of the first question."""
    for added in (1, 5):
        answer = ask(page, "team")
        assert answer.locator(".markdown").first.inner_text() == f"The sum is {2 + added}."
        (shown,) = answer.locator("details.tool").all()
        shown.locator("summary").click()
        given, result = shown.locator("pre").all_inner_texts()
        assert (json.loads(given), result) == ({"a": 2, "b": added}, str(2 + added))


def test_a_question_of_the_graph_is_shown_and_answered(page, tmp_path):
    """An interrupt: its question with the rest of its value, a reply as text; the answer goes on in the same thread."""
    answer = ask(page, "ask")
    form = answer.locator("form.interrupts")
    assert form.get_by_label("May I delete the table?").is_visible() and '"rows": 12' in form.inner_text()
    picture(page, tmp_path, "chat-interrupt")
    assert violations(page) == []
    form.get_by_role("button", name="yes").click()
    form.get_by_role("button", name="Reply").click()
    assert ended(page, 1).locator(".markdown").inner_text() == "You replied 'yes'."
    assert form.count() == 0 and "yes" in answer.locator(".answered").inner_text()
    second = ask(page, "ask")
    second.get_by_label("The reply is JSON").check()
    second.locator("textarea").fill('{"allowed": [true')
    second.get_by_role("button", name="Reply").click()
    assert "not JSON" in second.get_by_role("alert").inner_text()
    second.locator("textarea").fill('{"allowed": [true]}')
    second.get_by_role("button", name="Reply").click()
    assert ended(page, 3).locator(".markdown").inner_text() == "You replied {'allowed': [True]}."


def test_several_questions_at_once_are_answered_by_their_ids(page):
    """Two nodes that ask in parallel: both fields are needed, each reply reaches its own node; screen readers hear both."""
    answer = ask(page, "both")
    told = page.locator("#announcer p").last.inner_text()
    assert "The model asks" in told and "Left?" in told and "Right?" in told
    answer.get_by_label("Right?").fill("to the right")
    answer.get_by_role("button", name="Reply").click()
    assert page.locator("article.answer").count() == 1, "a reply is missing"
    answer.get_by_label("Left?").fill("to the left")
    answer.get_by_role("button", name="Reply").click()
    assert (
        ended(page, 1).locator(".markdown").inner_text() == "{'left': 'to the left', 'right': 'to the right'}"
    )


def test_stop_ends_the_work_of_the_graph(page, served):
    """The text so far stays, the graph is cancelled in the service, and the next question is answered."""
    page.fill("#question", "wait for me")
    page.press("#question", "Enter")
    page.locator("article.answer .markdown", has_text="See the documentation").wait_for()
    page.click("#stop")
    answer = ended(page, 0)
    assert "Stopped." in answer.inner_text() and "passes the gate" in answer.inner_text()
    until((served[2] / "left").exists, "the graph was cancelled")
    assert ask(page, "say next").locator(".markdown").inner_text() == "next"


def test_an_error_is_shown_in_words_with_its_request(page, served):
    """The failure of a graph, under the id that the service's log has, and a second try."""
    answer = ask(page, "fail")
    problem = answer.get_by_role("alert").inner_text()
    assert "The model failed on this request." in problem and "ValueError" in problem
    (request_id,) = re.findall(r"Request ID: (\S+)", problem)
    until(lambda: request_id in served[0].log.read_text(), "the log has the request")
    answer.get_by_role("button", name="Try again").click()
    ended(page, 0).get_by_role("alert").wait_for()
    assert page.locator("article.question").count() == 1


def test_a_second_try_waits_for_the_running_answer(page):
    """While an answer comes, "Try again" of an earlier one drops no message."""
    answer = ask(page, "fail")
    page.fill("#question", "wait for me")
    page.press("#question", "Enter")
    page.locator("article.answer .markdown", has_text="See the documentation").wait_for()
    answer.get_by_role("button", name="Try again").click()
    assert page.locator("article.question").all_inner_texts() == ["fail", "wait for me"]
    page.click("#stop")
    ended(page, 1)


def test_ratings_and_corrections_reach_the_prediction_log(page, served):
    """A thumb, and a corrected answer, which is a text as the comparison of versions reads it."""
    answer = ask(page, "say something")
    (request_id,) = re.findall(r"Request (\S+)", answer.inner_text())
    answer.get_by_role("button", name="Bad answer").click()
    answer.get_by_role("button", name="Bad answer", pressed=True).wait_for()
    answer.get_by_role("button", name="Correct it").click()
    field = answer.get_by_label("The right answer")
    assert field.input_value() == "something"
    field.fill("something else")
    answer.get_by_role("button", name="Save").click()
    answer.get_by_text("Thank you, saved.").wait_for()

    def outcomes():
        tables = [pq.read_table(file).to_pylist() for file in (served[2] / "log").glob("feedback-*.parquet")]
        return [row["outcome"] for table in tables for row in table if row["request_id"] == request_id]

    until(lambda: len(outcomes()) == 2, "the feedback is written")
    assert sorted(map(json.loads, outcomes()), key=str) == ["something else", {"thumb": "down"}]


def test_conversations_are_listed_kept_and_deleted(page):
    """They outlive a reload, go on in their own thread, and can be deleted."""
    ask(page, "say first")
    page.get_by_role("button", name="New conversation").click()
    assert page.locator("article").count() == 0
    ask(page, "say second")
    titles = page.locator(".thread").all_inner_texts()
    assert titles == ["say second", "say first"]
    page.reload()
    page.get_by_role("button", name="say first", exact=True).click()
    assert page.locator("article.answer .markdown").all_inner_texts() == ["first"]
    assert page.locator(".thread[aria-current=true]").inner_text() == "say first"
    sent = []
    page.on(
        "request", lambda request: sent.append(request.post_data_json) if "invoke" in request.url else None
    )
    ask(page, "say third")
    kept = page.evaluate("JSON.parse(localStorage['conversations:talk:ada'])")
    assert [each["title"] for each in kept] == ["say first", "say second"]
    assert (
        sent == [{"inputs": {"thread_id": kept[0]["id"], "question": "say third"}}]
        and len(kept[0]["id"]) == 32
    )
    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_response("**/threads?*") as deleted:
        page.get_by_role("button", name="Delete the conversation say first").click()
    page.locator("article").first.wait_for(state="detached")
    assert deleted.value.status == 204 and page.locator(".thread").all_inner_texts() == ["say second"]


def test_a_conversation_that_is_deleted_while_it_answers_stays_deleted(page):
    """The end of its answer does not store it again."""
    without_threads(page)
    page.fill("#question", "wait for me")
    page.press("#question", "Enter")
    page.locator("article.answer .markdown", has_text="See the documentation").wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete the conversation wait for me").click()
    page.locator("#send").wait_for()
    assert page.evaluate("JSON.parse(localStorage['conversations:talk:ada'])") == []


def test_two_tabs_keep_the_conversations_of_both(page):
    """A tab does not store its own list over another tab's."""
    with page.context.expect_page() as other:
        page.evaluate("window.open('/')")
    other.value.locator("#composer").wait_for()  # a tab that the page opened has its key
    ask(page, "say one")
    ask(other.value, "say two")
    kept = page.evaluate("JSON.parse(localStorage['conversations:talk:ada'])")
    assert [each["title"] for each in kept] == ["say two", "say one"]


def test_a_new_champion_keeps_question_and_conversation(page):
    """The head shows the new version; the typed question, the conversation and its thread stay."""
    answer = ask(page, "say one")

    def status(route):
        answer = route.fetch()
        said = answer.json()
        route.fulfill(response=answer, json={**said, "champion": {**said["champion"], "version": 2}})

    page.fill("#question", "half a ques")
    page.route("**/status", status)
    page.locator("#name", has_text=" 2").wait_for()
    assert (
        page.input_value("#question") == "half a ques" and answer.locator(".markdown").inner_text() == "one"
    )
    page.unroute("**/status")


def test_the_field_for_another_key_stays_open(page):
    """The service is asked for its state every few seconds; that closes no form in which somebody types."""
    page.clock.install()
    page.reload()
    page.locator("#composer").wait_for()
    page.get_by_role("button", name="Change key").click()
    for _ in range(2):  # the second answer comes after the first was shown
        with page.expect_response("**/status"):
            page.clock.run_for(6_000)
    assert page.locator("#key").is_visible()
    page.get_by_role("button", name="Change key").click()
    assert not page.locator("#key").is_visible()


def test_a_browser_that_forbids_storage_has_the_page(browser, served):
    """The key is kept by the page."""
    service, keys, _ = served
    with opened(browser, service.url) as page:
        forbidden = "{get() { throw new DOMException('', 'SecurityError'); }}"
        page.add_init_script(
            f"for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, {forbidden})"
        )
        page.reload()
        use_key(page, keys["ada"])
        assert ask(page, "say so").locator(".markdown").inner_text() == "so"


def test_conversations_belong_to_the_name_of_a_key(browser, served):
    """A wrong key is refused; the list is the key's own; another's conversation is refused in words; no key is stored."""
    service, keys, _ = served
    with opened(browser, service.url) as page:
        page.locator("#state", has_text="needs a key").wait_for()
        assert violations(page) == []
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        page.locator("#key-problem", has_text="This key is not known.").wait_for()
        use_key(page, keys["ada"])
        ask(page, "say mine")
        mine = page.evaluate("localStorage['conversations:talk:ada']")
        page.get_by_role("button", name="Change key").click()
        use_key(page, keys["bob"])
        page.get_by_text("None yet.").wait_for()
        assert page.locator("article").count() == 0
        page.evaluate("all => localStorage['conversations:talk:bob'] = all", mine)
        page.reload()
        page.get_by_role("button", name="say mine", exact=True).click()
        assert "belongs to another key" in ask(page, "say more").get_by_role("alert").inner_text()
        stored = page.evaluate("JSON.stringify(localStorage)")
        assert not any(key in stored for key in keys.values())


def test_a_model_without_threads_gets_the_whole_chat(page):
    """Over /v1/chat/completions: earlier questions and answers go with each question; passages come too."""

    without_threads(page)
    assert ask(page, "say one").locator(".markdown").inner_text() == "one"
    with page.expect_request("**/v1/chat/completions") as sent:
        assert ask(page, "say two").locator(".markdown").inner_text() == "two"
    messages = sent.value.post_data_json["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "say one"), ("assistant", "one"), ("user", "say two"),
    ]  # fmt: skip
    assert "model failed" in ask(page, "fail").get_by_role("alert").inner_text().lower()
    assert ask(page, "What is the gate?").locator(".sources summary").inner_text() == "Sources (2)"


def test_enter_sends_but_not_while_a_syllable_is_composed(page):
    """Shift+Enter makes a line; Enter within a Korean syllable ends the syllable; Safari's key 229 too; then Enter sends."""
    page.fill("#question", "say 하나")
    page.press("#question", "Shift+Enter")
    page.type("#question", "둘")
    assert page.input_value("#question") == "say 하나\n둘"
    for composed in ({"isComposing": True}, {"keyCode": 229}):
        press = "options => document.querySelector('#question').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true, ...options}))"
        assert page.evaluate(press, composed) and page.locator("article").count() == 0
    page.press("#question", "Enter")
    assert ended(page, 0).locator(".markdown").inner_text() == "하나\n둘"


def test_the_keyboard_reaches_everything_and_the_reader_is_told(page):
    """From the top: skip link, key, language, the model, conversations, the log, the field. A live region has the answer."""
    ask(page, "say A sentence. Another one.")
    told = page.locator("#announcer p").all_inner_texts()
    assert told == ["Answering", "A sentence.", "Another one.", "The answer is complete."]
    assert page.locator("#announcer").get_attribute("aria-live") == "polite"
    assert page.evaluate("document.activeElement.id") == "question"
    page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(document.activeElement.id || document.activeElement.textContent || document.activeElement.tagName).trim()"
            )
        )
    assert reached == [
        "Skip to the content", "change-key", "language", "About the model", "new", "say A sentence. Another one.", "×", "log",
        "Copy", "BUTTON", "BUTTON", "Correct it", "question", "send",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_korean_needs_no_scrolling_sideways(browser, served, tmp_path, scheme):
    """390 px wide, in Korean by the browser's language: long code and tables scroll by themselves; axe-core finds nothing."""
    service, keys, _ = served
    with opened(browser, service.url, viewport=NARROW, locale="ko-KR", color_scheme=scheme) as page:
        use_key(page, keys["ada"])
        assert page.locator(".example").first.inner_text() == "게이트는 무엇인가요?"
        picture(page, tmp_path, f"chat-phone-{scheme}-welcome")
        page.click(".example >> nth=0")
        assert "판단합니다" in ended(page, 0).inner_text()
        ask(page, "say ```\n" + "x" * 300 + "\n```\n\n|" + "a|" * 40 + "\n|" + "-|" * 40)
        ask(page, "say " + "가나다라" * 100 + " " + "w" * 300)
        ask(page, "fail")
        assert "모델이 이 요청을" in page.get_by_role("alert").last.inner_text() and fits(page)
        page.get_by_role("button", name="대화 목록").click()
        assert page.locator(".thread").first.is_visible() and fits(page)
        page.get_by_role("button", name="대화 목록").click()
        page.get_by_text("모델 정보").click()
        assert "0.7131" in page.inner_text("#score") and fits(page)
        page.get_by_text("모델 정보").click()
        picture(page, tmp_path, f"chat-phone-{scheme}")
        assert violations(page) == [] and page.evaluate("document.documentElement.lang") == "ko"
        page.select_option("#language", "en")
        assert page.locator("#send").inner_text() == "Send"
        page.reload()
        page.locator("#send", has_text="Send").wait_for()
