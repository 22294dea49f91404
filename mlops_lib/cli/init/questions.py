"""Answers for a new project: from an option, else asked in a terminal, else the proposal."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.markup import escape
from rich.prompt import Confirm, Prompt

from mlops_lib.cli.display import err, out
from mlops_lib.errors import MlopsError

#: The answer that stands for "no column".
NONE = "-"


@dataclass
class Questions:
    """Where answers come from, and a record of them.

    Attributes:
        asks: Whether a person at a terminal answers.
        record: What was chosen -> (value, reason), in order.
    """

    asks: bool
    record: dict[str, tuple[str, str]] = field(default_factory=dict)

    def answer(
        self,
        what: str,
        given: str | None,
        proposed: str,
        reason: str,
        check: Callable[[str], None],
        question: str,
    ) -> str:
        """The option `given`, else the answer of a person, else what is proposed; checked.

        Args:
            what: Name of the choice in the record.
            given: Value of the option; None: not given.
            proposed: The default; "" for none.
            reason: Why it is proposed.
            check: Raises a MlopsError for a value that cannot be.
            question: For the person.
        """
        if given is not None:
            check(given)
            self.record[what] = (given, "")
            return given
        if not self.asks:
            check(proposed)
            self.record[what] = (proposed, reason)
            return proposed
        why = f"[dim], {escape(reason)}[/]" if reason else ""
        while True:
            said = Prompt.ask(f"{question}{why}", console=out, default=proposed or NONE).strip()
            value = "" if said == NONE else said
            try:
                check(value)
            except MlopsError as error:
                err.print(f"  [red]{escape(str(error))}[/]")
                continue
            self.record[what] = (value, reason if value == proposed else "")
            return value

    def agrees(self, question: str, default: bool) -> bool:
        """The answer of a person to a yes-or-no question, else `default`."""
        if not self.asks:
            return default
        return Confirm.ask(escape(question), console=out, default=default)
