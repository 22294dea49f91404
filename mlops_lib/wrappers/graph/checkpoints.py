"""Where LangGraph stores conversations: in memory or in a SQLite file, without secrets."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mlops_lib.redact.keys import Masker


def checkpointer(file: Path | None, importable: Callable[[], AbstractContextManager[None]]) -> Any:
    """LangGraph's store of conversations.

    Args:
        file: A SQLite file; None: the memory of this process.
        importable: In this context, the classes of the graph's code can be imported:
            a state may hold their objects.
    """
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    class Serializer(JsonPlusSerializer):
        """Finds the graph's own classes.

        Writes no known secret: LangGraph stores the error of a failed node,
        and a state may hold a tool's error.
        """

        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            kind, content = super().dumps_typed(obj)
            return kind, Masker().known(content, keep_length=True)

        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            with importable():
                return super().loads_typed(data)

    if file is None:
        from langgraph.checkpoint.memory import InMemorySaver

        return InMemorySaver(serde=Serializer())
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    connection = aiosqlite.connect(file)
    # The connection's thread must not keep a finished process alive.
    connection._thread.daemon = True
    return AsyncSqliteSaver(connection, serde=Serializer())
