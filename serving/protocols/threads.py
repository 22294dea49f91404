"""DELETE /threads: a caller's conversation is given up, whatever its state."""

import asyncio
from http import HTTPStatus

from fastapi import Request, Response

from mlops_lib.wrappers.graph.threads import THREAD, THREADS_FILE
from serving.callers import stored_threads
from serving.service import Service
from serving.web.problems import Problem
from serving.web.route import delete


async def delete_thread(request: Request, thread_id: str) -> Response:
    """Delete a conversation of the caller: its turns and its open interrupts. Its id stays the caller's.

    Other workers remember owners for minutes: if the id were free,
    a former owner could read the next one's turns.

    404 for a thread that never was, 403 for another key's, 409 while a turn of it runs.
    """
    service: Service = request.app.state.service
    settings = service.settings
    await service.threads.claim(request.state.call.caller, [{THREAD: thread_id}])
    file = settings.path(settings.pipeline.work_dir) / THREADS_FILE
    try:
        found = await asyncio.to_thread(stored_threads.delete_one, file, thread_id)
    except stored_threads.InUse:
        detail = f"A turn of the thread {thread_id!r} is running. Wait for its answer, or cancel its request."
        raise Problem(HTTPStatus.CONFLICT, "thread_busy", detail, 1) from None
    if not found:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown_thread", f"There is no thread {thread_id!r}.")
    return Response(status_code=HTTPStatus.NO_CONTENT)


ROUTES = (delete("/threads", delete_thread, "inference", status=HTTPStatus.NO_CONTENT),)
