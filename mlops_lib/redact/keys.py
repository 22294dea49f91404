"""Secrets in content that is kept as data: the known ones by their values, others by their well-known shapes.

The rules here are exact, so that a notebook, an artifact or a logged row keeps its other characters.
For messages that people read, `mlops_lib.redact.mask` adds rules that hide more.
"""

import base64
import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

MASKED = "***"
#: Shorter values would hide ordinary words.
MIN_CHARS = 6
#: Values of this length are masked inside longer words too; shorter ones only as words of their own.
LONG_CHARS = 12
#: Names of environment variables with secrets. `tokens` and `keys` are numbers and files.
_VARIABLE = re.compile(
    r"API_?KEY(?!S)|ACCESS_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY|SECRET|TOKEN(?!S|IZER)|PASSWORD|PASSWD|PASSPHRASE"
    r"|PGPASS$|CREDENTIAL",
    re.IGNORECASE,
)
#: Values of such variables that are no secrets: paths, numbers and switches.
_NO_SECRET = re.compile(r"[./~].*|\d{1,9}|true|false|none|null|disabled|enabled", re.IGNORECASE)
#: The password of an address. Everything is bounded, so that the time taken is proportional to the text.
_ADDRESS = re.compile(r"(?<=://)[^\s:/@\"'<>\\]{0,256}:(?P<password>[^\s/@\"'<>\\]{1,512})@")
# A key begins a word; in JSON the letter of an escaped line end may be before it.
_BEGIN = r"(?:(?<![\w-])|(?<=\\[nrt]))"
#: Text that every match has -> the shape. A search for the text costs a hundredth of
#: the search for the shape.
_SHAPES: dict[str, re.Pattern[str]] = {
    "sk-": re.compile(_BEGIN + r"sk-(?=[\w-]{0,64}\d)[\w-]{16,}"),  # OpenAI, Anthropic and those who copied them
    "k_live_": re.compile(_BEGIN + r"[sr]k_live_\w{16,}"),
    "AKIA": re.compile(_BEGIN + r"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])"),  # AWS
    "ASIA": re.compile(_BEGIN + r"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])"),
    "AIza": re.compile(_BEGIN + r"AIza[\w-]{35}"),  # Google
    **{f"gh{kind}_": re.compile(_BEGIN + rf"gh{kind}_[A-Za-z0-9]{{36,}}") for kind in "pousr"},  # GitHub
    "github_pat_": re.compile(_BEGIN + r"github_pat_\w{22,}"),
    "hf_": re.compile(_BEGIN + r"hf_[A-Za-z0-9]{30,}"),  # Hugging Face
    "xox": re.compile(_BEGIN + r"xox[abeprs]-[\w-]{10,}"),  # Slack
    "dapi": re.compile(_BEGIN + r"dapi[0-9a-f]{32}"),  # Databricks
    "eyJ": re.compile(_BEGIN + r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),  # JSON web tokens
    "earer ": re.compile(r"(?<=[Bb]earer )(?=[\w.~+/-]{0,64}\d)[\w.~+/-]{12,}=*"),
    "asic ": re.compile(r"(?<=[Bb]asic )[A-Za-z0-9+/]{7,}={1,2}"),
    # Redis and PostgreSQL have connection texts that are no addresses.
    "password=": re.compile(r"(?P<head>[,;?&\s]password=)[^\s,;&\"'\\()\[\]{}<>]{4,512}"),
    "PRIVATE KEY-----": re.compile(r"(?P<head>BEGIN [A-Z ]{0,32}PRIVATE KEY-----)[^-\"']{16,}"),
}  # fmt: skip
_added: set[str] = set()


def add_secrets(values: Iterable[str]) -> None:
    """Mask these values from now on in this process: secrets that are in no environment variable."""
    _added.update(value for value in values if len(value) >= MIN_CHARS)


class _Known:
    """A known secret, and the expression that finds it, for texts and for encoded ones."""

    def __init__(self, text: str) -> None:
        escaped = re.escape(text)
        word = escaped if len(text) >= LONG_CHARS else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"
        self.text, self.word = text, re.compile(word)
        self.encoded, self.encoded_word = text.encode(), re.compile(word.encode())


class Masker:
    """Masks the secrets that are known when it is made. One for many texts saves a look
    at the environment for each."""

    def __init__(self) -> None:
        self._known = _known_secrets()

    def __call__(self, text: str) -> str:
        """`text` with ``***`` for every known secret, key of a well-known shape and password of an address.

        The other characters stay, quotes among them, so JSON stays JSON.
        """
        for known in self._known:
            if known.text in text:
                text = known.word.sub(MASKED, text)
        if "://" in text:
            text = _ADDRESS.sub(f"{MASKED}@", text)
        for part, shape in _SHAPES.items():
            if part in text:
                text = shape.sub(_masked, text)
        return text

    def known(self, content: bytes, keep_length: bool = False) -> bytes:
        """Encoded `content` without the known secrets. Shapes stay: an answer may hold anything.

        Args:
            keep_length: Put as many ``*`` as the secret has bytes,
                in a format that stores the lengths of its texts.
        """
        for known in self._known:
            if known.encoded in content:
                shown = b"*" * len(known.encoded) if keep_length else MASKED.encode()
                content = known.encoded_word.sub(shown, content)
        return content

    def is_in(self, content: bytes) -> bool:
        """Whether encoded `content` has a known secret. Short ones may be ordinary words."""
        return any(known.encoded in content for known in self._known if len(known.text) >= LONG_CHARS)

    def values(self, value: Any) -> Any:
        """A JSON value with every text in it masked, names of an object's members included."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self.values(name): self.values(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(inner) for inner in value]
        return value


def mask_secrets(text: str) -> str:
    """`text` as a new `Masker` masks it."""
    return Masker()(text)


def _masked(found: re.Match[str]) -> str:
    return (found["head"] if "head" in found.re.groupindex else "") + MASKED


def _known_secrets() -> list[_Known]:
    """The secrets of the environment and those that were added, each with an expression for it,
    the longest first."""
    # The mapping behind os.environ: a look through os.environ itself costs twenty times as much.
    environment: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return _expressions(tuple(environment.items()), frozenset(_added))


@lru_cache(maxsize=8)
def _expressions(environment: tuple[tuple[bytes, bytes], ...], added: frozenset[str]) -> list[_Known]:
    secrets = set(added)
    for name, encoded in environment:
        value = os.fsdecode(encoded)
        if "://" in value:
            secrets.update(_ADDRESS.findall(value))
        elif _VARIABLE.search(os.fsdecode(name)) and not _NO_SECRET.fullmatch(value):
            secrets.add(value.strip())
    forms = {form for secret in secrets if len(secret) >= MIN_CHARS for form in _forms(secret)}
    # The longest first: a secret may begin with another one.
    return [_Known(form) for form in sorted(forms, key=len, reverse=True)]


def _forms(secret: str) -> Iterable[str]:
    """A secret as it is, in JSON, in an address, decoded from one, and in Base64."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield unquote(secret)
    if len(secret) >= LONG_CHARS:
        yield base64.b64encode(secret.encode()).decode()
