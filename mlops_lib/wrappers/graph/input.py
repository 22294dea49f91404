"""A graph's input from a row: the question as a message, columns as keys of the state, or a mapping."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from mlops_lib.errors import InputError, TrainingError
from mlops_lib.llm.prompt_fields import FIELD, fields, filled, only_field, unclear_path
from mlops_lib.llm.values import is_message
from mlops_lib.wrappers.graph.shape import MESSAGES, Shape


class GraphInput:
    """Makes the input of a graph.

    Args:
        shape: What the graph takes.
        mapping: ``model.params.input``: state key -> column or text with ``{{column}}``, or one text for a
            graph whose input has no keys; None: columns are the keys of the same names, and a state of
            messages gets the question as a message.
    """

    def __init__(self, shape: Shape, mapping: Any) -> None:
        if mapping is not None and not isinstance(mapping, str | Mapping):
            raise TrainingError(
                "model.params.input must be a mapping of state keys to columns, or a text with {{column}}; it is "
                f"{mapping!r}."
            )
        self._shape, self._mapping = shape, _with_fields(mapping)

    @property
    def option_keys(self) -> Sequence[str]:
        """The keys that an option of a chat may fill."""
        return [name for name in self._shape.inputs if name != MESSAGES]

    def takes_messages(self, text_column: str) -> bool:
        """Whether the question itself becomes a message."""
        if isinstance(self._mapping, str) or not self.takes_history or text_column in self._shape.inputs:
            return False
        mapped = self._mapping or {}
        return MESSAGES not in mapped and text_column not in self._columns(mapped)

    @property
    def takes_history(self) -> bool:
        """Whether the graph can take earlier messages of a chat."""
        return self._shape.has_messages or self._shape.kind == "messages"

    def check(self, columns: Sequence[str]) -> None:
        """Check that every column of a row reaches the graph; nothing is called.

        Raises:
            TrainingError: A column reaches no key, or a key has no value; names the keys there are.
        """
        used, keys = self._use(columns)
        shape, question = self._shape, columns[0]
        for text in _texts(self._mapping):
            if unclear := unclear_path(text, columns):
                raise TrainingError(f"model.params.input has {unclear}")
        if shape.kind == "unknown" and self._mapping is None:
            raise TrainingError(
                f"The graph does not declare its input. Set model.params.input: '{{{{{question}}}}}' for the text itself, or "
                f"{{key: '{{{{{question}}}}}'}} for an object; or declare it (a TypedDict, a pydantic model, .with_types)."
            )
        if unknown := sorted(used - set(columns)):
            raise TrainingError(
                f"model.params.input names {', '.join(unknown)}; data.features has: {', '.join(columns)}."
            )
        if shape.kind == "keys" and (unknown := sorted(keys - set(shape.inputs))):
            raise TrainingError(
                f"model.params.input has {', '.join(unknown)}; the input of the graph has: {self._keys()}."
            )
        if lost := [name for name in columns if name not in used]:
            free = next((key for key in shape.inputs if key not in keys), "key")
            raise TrainingError(
                f"The column {', '.join(lost)} reaches no key of the graph's input, which has: {self._keys()}. Set "
                f"model.params.input: {{{free}: '{{{{{lost[0]}}}}}'}}, or take the column out of data.features."
            )
        if empty := [name for name, needed in shape.inputs.items() if needed and name not in keys]:
            raise TrainingError(
                f"The graph fails without {', '.join(empty)} in its input, which no column fills. Add it to "
                f"model.params.input. The columns are: {', '.join(columns)}."
            )

    def payload(
        self, row: Mapping[str, Any], text_column: str, history: Sequence[Any], last: Any = None
    ) -> Any:
        """The input for a row.

        Args:
            row: Values by column; None counts as absent.
            text_column: The column with the question.
            history: Earlier messages of a chat.
            last: The last message of a chat, where the graph takes it as it is.

        Raises:
            InputError: The graph has no place for earlier messages, or a text of the mapping names a column that the
                row lacks.
        """
        shape = self._shape
        if isinstance(self._mapping, str) or (shape.kind == "text" and self._mapping is None):
            if history:
                raise no_place()
            return row[text_column] if self._mapping is None else self._value(self._mapping, row)
        values = {name: value for name, value in row.items() if name in shape.inputs}
        values |= {key: self._value(text, row) for key, text in (self._mapping or {}).items()}
        if self.takes_messages(text_column):
            found = messages([*history, last or row[text_column]])
            found[-1].id = uuid4().hex  # the answer comes after it
            values[MESSAGES] = found
        elif history:
            if not shape.has_messages:
                raise no_place()
            own = values.get(MESSAGES, [])
            values[MESSAGES] = [*history, *(own if isinstance(own, list) else [own])]
        elif shape.has_messages and isinstance(text := values.get(MESSAGES), str):
            values[MESSAGES] = messages([text])
        return values[MESSAGES] if shape.kind == "messages" else shape.make(values)

    def _use(self, columns: Sequence[str]) -> tuple[set[str], set[str]]:
        """The columns that reach the graph, and the keys that get a value."""
        mapping = self._mapping or {}
        if isinstance(mapping, str):
            return self._columns(mapping), set()
        by_name = set(columns) & set(self._shape.inputs)
        used, keys = by_name | self._columns(mapping), by_name | set(mapping)
        if self._shape.kind == "text" and not mapping:
            return {columns[0]}, set()
        if self.takes_messages(columns[0]):
            return used | {columns[0]}, keys | {MESSAGES}
        return used, keys

    def _columns(self, text: Any) -> set[str]:
        return {name for each in _texts(text) for name in fields(each)}

    def _value(self, text: Any, row: Mapping[str, Any]) -> Any:
        if isinstance(text, Mapping):
            return {key: self._value(value, row) for key, value in text.items()}
        if isinstance(text, list):
            return [self._value(value, row) for value in text]
        if not isinstance(text, str):
            return text
        if (column := only_field(text)) is not None:
            return row.get(column)
        return filled(text, lambda name: _text_of(name, row))

    def _keys(self) -> str:
        return ", ".join(self._shape.inputs) or f"none (it is {self._shape.kind})"


def _text_of(name: str, row: Mapping[str, Any]) -> str:
    if row.get(name) is None:
        raise InputError(f"model.params.input needs {name!r}, which the row lacks.")
    return str(row[name])


def _texts(value: Any) -> Iterator[str]:
    """The texts in a mapping."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _with_fields(mapping: Any) -> Any:
    """The mapping with ``{{column}}`` for each column that stands alone."""
    if isinstance(mapping, str):
        return mapping if not mapping.strip() or FIELD.search(mapping) else f"{{{{{mapping}}}}}"
    if isinstance(mapping, Mapping):
        return {key: _with_fields(text) if isinstance(text, str) else text for key, text in mapping.items()}
    return mapping


def messages(parts: Sequence[Any]) -> list[Any]:
    """Messages of LangChain from texts and messages in OpenAI's form.

    Raises:
        InputError: One cannot be read.
    """
    from langchain_core.messages import convert_to_messages

    try:
        return convert_to_messages(list(parts))
    except Exception as error:  # of several kinds, by the form that is wrong
        raise InputError(f"A message cannot be read: {type(error).__name__}: {error}") from None


def question_in(payload: Any) -> Any:
    """The last message of a graph's input; None if it has no messages."""
    found = payload.get(MESSAGES) if isinstance(payload, Mapping) else payload
    return found[-1] if isinstance(found, list) and found and is_message(found[-1]) else None


def no_place() -> InputError:
    """The error for a chat whose earlier messages the graph cannot take."""
    return InputError(
        f"The state of this graph has no {MESSAGES!r}, so that it cannot take system or earlier messages. Send the last "
        "message alone."
    )
