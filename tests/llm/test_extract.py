"""The fake model in other scripts, and its tool calls; the words that it and a search compare."""

import json

import pytest

from mlops_lib.llm.fake.extract import UNKNOWN, UNKNOWN_KOREAN, reply
from mlops_lib.llm.words import words

PASSAGES = """[1] shop
Cats are green. The shop opens at 10:00.

[2] 영업시간
모리책방은 평일 10시부터 20시까지 엽니다. 14시 전에 결제한 주문은 당일 출고합니다.

[3] 営業時間
東京店は10時に開きます。大阪店は11時に開きます。

[terms.ko.md] 반품
책은 14일 안에 반품할 수 있습니다.
"""


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("When does the shop open?", "The shop opens at 10:00. [1]"),
        ("모리책방은 몇 시부터 여나요?", "모리책방은 평일 10시부터 20시까지 엽니다. [2]"),
        ("결제한 주문이 언제 출고되나요?", "14시 전에 결제한 주문은 당일 출고합니다. [2]"),
        ("大阪店は何時に開きますか", "大阪店は11時に開きます。 [3]"),
        ("며칠 안에 반품하나요?", "책은 14일 안에 반품할 수 있습니다. [terms.ko.md]"),
        ("세종대왕은 누구인가요?", UNKNOWN_KOREAN),
        ("Who wrote Hamlet?", UNKNOWN),
    ],
)
def test_a_question_finds_its_sentence_in_its_script(question: str, wanted: str) -> None:
    """Particles, sentences without spaces, and names of files as the passages' labels."""
    assert reply([{"role": "user", "content": f"{PASSAGES}\nQuestion: {question}"}])["content"] == wanted


def test_words_of_every_script() -> None:
    """Endings and particles do not count; composed and decomposed letters are the same."""
    assert words("가격은 Retries") == ["가격", "격은", "retri"]
    assert words("déjà") == words("de\u0301ja\u0300") == ["déjà"]
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert set(words("東京タワー")) & set(words("京都と東京"))


def tool(name: str, required: list[str], **properties: dict) -> dict:
    parameters = {"properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_a_tool_is_called_by_the_pattern_of_its_argument_else_by_a_search() -> None:
    """An order number in the question goes to the tool of orders; any other question goes to the search."""
    tools = [
        tool("search", ["query"], query={"type": "string"}),
        tool("order_status", ["order"], order={"type": "string", "pattern": "MB-[0-9]{4}"}),
    ]
    for question, name, arguments in (
        ("주문 MB-1042는 어디쯤 왔나요?", "order_status", {"order": "MB-1042"}),
        ("반품은 며칠 안에 하나요?", "search", {"query": "반품은 며칠 안에 하나요?"}),
    ):
        called = reply([{"role": "user", "content": question}], tools)["tool_calls"][0]["function"]
        assert (called["name"], json.loads(called["arguments"])) == (name, arguments)


def test_a_tools_passages_are_context_and_its_other_results_the_answer() -> None:
    asked = {"role": "user", "content": "며칠 안에 반품하나요?"}
    for result, wanted in (
        (PASSAGES, "책은 14일 안에 반품할 수 있습니다. [terms.ko.md]"),
        ("MB-1042: 배송 중", "MB-1042: 배송 중"),
    ):
        assert reply([asked, {"role": "tool", "content": result}])["content"] == wanted
