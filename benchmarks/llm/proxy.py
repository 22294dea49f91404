"""What a team writes by hand: FastAPI and the vendor's SDK."""

import os
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="none")


class Chat(BaseModel):
    """The body of a chat."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False


@app.post("/v1/chat/completions")
async def chat(body: Chat):
    """The vendor's answer, whole or in pieces."""
    wanted = {"model": "gpt-bench", "messages": body.messages}
    if not body.stream:
        return await client.chat.completions.create(**wanted)

    async def events():
        async for chunk in await client.chat.completions.create(**wanted, stream=True):
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
