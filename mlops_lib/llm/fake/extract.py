"""What ``fake:extract`` answers: the sentence of the context that shares most words with the question.

Passages are blocks whose first line begins with a label such as ``[1]`` or ``[terms.md]``, in the prompt or
in the result of a tool; the answer cites the label. If no sentence fits, the answer is that it does not know.

A tool is called when the question has its required arguments: as ``name=value``, or as text
that fits the ``pattern`` of the argument's schema. A tool that needs ``query`` alone is asked
the question, if no other fits.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex

from mlops_lib.llm.words import words

UNKNOWN = "I do not know: the context does not say."
UNKNOWN_KOREAN = "모릅니다. 문서에 없는 내용입니다."
#: Minimum share of the question's words, by weight, that the answer must have.
MIN_MATCH = 0.2
LABEL = r"^\[([\w.,/-]+)\](?![(\[])"
PASSAGE = regex.compile(rf"{LABEL}[^\n]*\n(.*?)(?={LABEL}|\Z)", regex.MULTILINE | regex.DOTALL)
SENTENCE = regex.compile(r"(?<=[.!?])\s+(?=[\p{Lu}\p{Lo}`(]|\d+\p{Lo})|(?<=[。！？])\s*|\n\s*\n|\n(?=[-*|#])")
ARGUMENT = regex.compile(r"(\w+)\s*=\s*(-?\d+(?:\.\d+)?|\"[^\"]*\"|\w+)")
QUESTION = regex.compile(r"(?:Question|질문):")
HANGUL = regex.compile(r"\p{Hangul}")
#: English words, and pairs of letters of Korean endings and question words, that do not count.
STOP = frozenset(
    words("""
    a an the of to in on is are was be it its and or for with what which how do does can i my you
    your that this by from as at when where who why if not there one has have will should me tell
    무엇인가요 무엇입니까 어디에 어디서 어떻게 언제 얼마인가요 누가 어느 몇 얼마예요 얼마에요 뭐예요 뭐에요 누구인가요 누구예요
    하나요 되나요 합니까 됩니까 있나요 인가요
    합니다 됩니다 입니다 있습니다 습니다 니다 나요 까요 에서 으로 하는 되는 에는 에게 하면 되면 어요 아요 예요 에요 해요 돼요
    """)
)


def reply(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The assistant's message: a tool call, the result of a tool, or a sentence of the context."""
    texts = [str(m.get("content") or "") for m in messages]
    asked = [text for m, text in zip(messages, texts, strict=True) if m["role"] == "user"]
    before, question = _parts(asked[-1] if asked else "")
    if messages and messages[-1]["role"] == "tool":
        answer = extract(question, texts[-1]) if PASSAGE.search(texts[-1]) else texts[-1]
        return {"role": "assistant", "content": answer}
    for tool in sorted((one["function"] for one in tools), key=_is_search):
        if arguments := _arguments(question, tool):
            function = {"name": tool["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
            call = {"id": "call_1", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
    given = [text for m, text in zip(messages, texts, strict=True) if m["role"] in ("system", "developer")]
    return {"role": "assistant", "content": extract(question, "\n".join([*given, before]))}


def extract(question: str, context: str) -> str:
    """The best sentence of the passages in `context`, with the label of its passage."""
    passages = [(label, text) for label, text, _ in PASSAGE.findall(context)]
    sentences = [
        (label, s.strip())
        for label, text in passages
        for s in SENTENCE.split(text)
        if s.strip() and not s.strip().startswith(("#", "|--", "```"))
    ]
    documents = [set(content_words(text)) for *_, text in sentences]
    frequency = Counter(word for found in documents for word in found)
    asked = set(content_words(question))
    weight = {w: math.log(1 + len(documents) / (1 + frequency[w])) for w in asked}
    total = sum(weight.values()) or 1.0

    def score(found: set[str]) -> float:
        return sum(weight[w] for w in asked & found) / total / (1 + len(found) / 60)

    best = max(zip(sentences, documents, strict=True), key=lambda pair: score(pair[1]), default=None)
    if best is None or score(best[1]) < MIN_MATCH:
        return UNKNOWN_KOREAN if HANGUL.search(question) else UNKNOWN
    label, sentence = best[0]
    return f"{' '.join(sentence.lstrip('-* ').split())} [{label}]"


def _parts(prompt: str) -> tuple[str, str]:
    """The text before the question, and the question: behind the last ``Question:``, or the whole prompt."""
    if marks := list(QUESTION.finditer(prompt)):
        return prompt[: marks[-1].start()], prompt[marks[-1].end() :].strip()
    return "", prompt.strip()


def content_words(text: str) -> list[str]:
    """The words of a text that say what it is about."""
    return [word for word in words(text) if word not in STOP]


def _is_search(tool: Mapping[str, Any]) -> bool:
    """Whether a tool takes a text ``query`` and needs nothing else."""
    return list((tool.get("parameters") or {}).get("required") or ()) == ["query"]


def _arguments(question: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a tool that are in the question; none if a required one is missing."""
    parameters = tool.get("parameters") or {}
    properties = parameters.get("properties") or {}
    if _is_search(tool):
        return {"query": question} if question else {}
    given = {name: value for name, value in ARGUMENT.findall(question) if name in properties}
    for name, schema in properties.items():
        if (pattern := schema.get("pattern")) and (match := regex.search(pattern, question)):
            given.setdefault(name, match[0])
    if not given or any(name not in given for name in parameters.get("required") or []):
        return {}
    read: dict[Any, Callable[[str], Any]] = {"integer": lambda v: int(float(v)), "number": float}
    return {
        name: read.get(properties[name].get("type"), lambda v: v.strip('"'))(value)
        for name, value in given.items()
    }
