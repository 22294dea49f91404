"""LangGraph alone: a graph of one node that asks LangChain's chat model, behind FastAPI."""

import os
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

app = FastAPI()
model = ChatOpenAI(
    model="gpt-bench", base_url=os.environ["OPENAI_BASE_URL"], api_key="none", stream_usage=True
)


class State(TypedDict, total=False):
    """The state of the graph."""

    question: str
    answer: str


async def answer(state: State) -> State:
    """Ask the model."""
    return {"answer": str((await model.ainvoke(state["question"])).text)}


graph = StateGraph(State).add_node("ask", answer).add_edge(START, "ask").add_edge("ask", END).compile()


class Chat(BaseModel):
    """The body of a chat."""

    messages: list[dict[str, Any]]
    stream: bool = False


@app.post("/v1/chat/completions")
async def chat(body: Chat):
    """The graph's answer, whole or in pieces of text."""
    state: State = {"question": body.messages[-1]["content"]}
    if not body.stream:
        return await graph.ainvoke(state)

    async def events():
        async for message, _ in graph.astream(state, stream_mode="messages"):
            yield f"data: {message.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
