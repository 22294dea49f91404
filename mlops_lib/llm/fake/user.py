"""What ``fake:user`` answers: it plays the user of a conversation, see `mlops_lib.evaluation.simulation`.

It begins with its goal and then tells its facts, one a turn. The goal is reached when an answer has at least
half of the words of the goal; with no more facts to tell, the user gives up.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_lib.llm.fake.extract import HANGUL, UNKNOWN, UNKNOWN_KOREAN, content_words
from mlops_lib.llm.words import words

#: Minimum share of the goal's words that an answer must have.
MIN_MATCH = 0.5
#: Words of a goal that no answer has, and Korean endings, as pairs of letters.
STOP = frozenset(
    words(
        "learn find know whether 알아낸다 알아본다 알아내기 알아보기 알고 싶다 확인한다 확인하기 하는지 되는지 은지 인지"
    )
)
PART = re.compile(r"^(user|assistant): ", re.MULTILINE)


def reply(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The assistant's message, which is the user's reply in JSON."""
    prompt, so_far = (str(message.get("content") or "") for message in (messages[0], messages[-1]))
    goal = _tagged("goal", prompt)
    facts = [
        line.removeprefix("- ").strip() for line in _tagged("facts", prompt).splitlines() if line.strip()
    ]
    found = PART.split(_tagged("conversation", so_far))[1:]
    said = list(zip(found[::2], (text.strip() for text in found[1::2]), strict=True))
    status, message = _next(goal, facts, said)
    content = json.dumps({"status": status, "message": message}, ensure_ascii=False)
    return {"role": "assistant", "content": content}


def _next(goal: str, facts: Sequence[str], said: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if not said:
        return "continue", goal
    answer, wanted = said[-1][1], _wanted(goal)
    known = wanted & set(content_words(answer))
    if answer not in (UNKNOWN, UNKNOWN_KOREAN) and len(known) >= MIN_MATCH * len(wanted):
        return "goal_reached", ""
    told = {text for who, text in said if who == "user"}
    rest = [fact for fact in facts if fact not in told]
    return ("continue", rest[0]) if rest else ("gave_up", "")


def _wanted(goal: str) -> set[str]:
    """The words of a goal that an answer should have; a single Korean letter is a particle."""
    return {
        word
        for word in content_words(goal)
        if word not in STOP and not (len(word) == 1 and HANGUL.match(word))
    }


def _tagged(name: str, text: str) -> str:
    """The text between the last tags of this name; "" without them."""
    found = re.findall(rf"<{name}>\n(.*?)\n</{name}>", text, re.DOTALL)
    return found[-1] if found else ""
