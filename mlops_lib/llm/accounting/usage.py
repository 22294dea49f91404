"""Tokens of calls, as the provider counts them, and their costs by the prices of config.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Prices = Mapping[str, Sequence[float]]


@dataclass
class Usage:
    """Sum of the tokens and the money of some calls.

    Attributes:
        reused: Calls that were answered from the cassette.
        unpriced: Calls of models that llm.prices does not have; their money is not in `cost_usd`.
        unseen: Calls that the platform's transport did not send. They are in none of the other numbers.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    reused: int = 0
    unpriced: int = 0
    unseen: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: "Usage") -> None:
        """Count `other` in."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_usd += other.cost_usd
        self.reused += other.reused
        self.unpriced += other.unpriced
        self.unseen += other.unseen


def price_of(model: str, prices: Prices) -> Sequence[float] | None:
    """US dollars for a million tokens in and out; None: not known. Models of ``fake:`` cost nothing."""
    return prices.get(model, (0.0, 0.0) if model.startswith("fake:") else None)


def of_answer(answer: Any, model: str, prices: Prices) -> Usage:
    """Usage of one call, from the ``usage`` of an OpenAI or Anthropic answer; without it, no tokens.

    Args:
        answer: The decoded JSON of the provider's answer.
        model: ``provider:model``, the key of `prices`.
        prices: Model -> USD for a million tokens in and out.
    """
    usage = answer.get("usage") if isinstance(answer, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    prompt = int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0)
    completion = int(usage.get("completion_tokens") or usage.get("output_tokens") or 0)
    price = price_of(model, prices)
    price_in, price_out = price or (0.0, 0.0)
    cost_usd = (prompt * price_in + completion * price_out) / 1e6
    return Usage(1, prompt, completion, cost_usd, unpriced=int(price is None))
