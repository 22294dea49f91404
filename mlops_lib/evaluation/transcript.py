"""A conversation as text: what user and assistant said."""

from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.llm import conversation


def transcript(case: Case) -> str:
    """The messages of user and assistant that have a text, a paragraph each;
    at least the question and the answer.

    Those of a row with several turns are what both have seen, without the messages of an agent's inner work.
    """
    if case.conversation:
        return conversation.transcript(case.conversation.messages)
    said = [
        (message["role"], message["content"])
        for message in case.trajectory.messages
        if message["role"] != "tool" and message.get("content")
    ]
    if not any(role == "user" for role, _ in said):
        said = [("user", case.question), ("assistant", case.answer)]
    return "\n\n".join(f"{role}: {text}" for role, text in said)
