"""Secrets in addresses: find and remove the password, and mask it wherever a text is shown."""

import re
from urllib.parse import unquote

# scheme://user:password@host as SQLAlchemy reads it: a password may have '/' and spaces (and '@',
# for safety).
_USER_INFO = re.compile(r"(?P<before>\w[\w+.-]*://[^:/]*):(?P<password>[^@]*(?:@[^@/?#\s]*(?=@))*)@")
# The same for addresses of files, whose host ends at the first slash; the path after it may have an '@'.
_USER_INFO_OF_A_FILE = re.compile(r"(?P<before>[^:/?#]+://[^:/?#@]*):(?P<password>[^/?#]*)@")
_FILES = re.compile(r"(?:https?|s?ftp|s3a?|gs|gcs|az|abfss?|hdfs|file)://", re.IGNORECASE)
# Parameters such as ?password=...; passfile is a path, and odbc_connect holds a whole address.
_SECRET = r"pass(?:word|wd|phrase)|(?<![a-z])pass(?![a-z])|pwd|secret|token(?!s)|api_?key|odbc_connect"
_KEY = rf"(?P<key>[^=&?\s]*(?:{_SECRET})[^=&?\s]*)"
_QUERY = re.compile(rf"(?P<before>[?&]){_KEY}=(?P<value>[^&]+)", re.IGNORECASE)
#: Parameters with the user's own password, which `password_in` returns.
_OWN = ("password", "passwd", "pwd")

# For text of any length, possibly made to be slow: no run of characters is read twice.
_SHOWN_QUERY = re.compile(r"(?P<before>[?&](?P<key>[^=&?\s]*))=[^&\s'\"]+")
_NAMES_A_SECRET = re.compile(_SECRET, re.IGNORECASE)
_SLASHES = re.compile("//(?!/)")
_TO_SLASH = re.compile(r"[^/\s]*")
_USER = re.compile(r"[^:/@\s]*:")
_PORT = re.compile(r"\d+\b")
_TO_SPACE = re.compile(r"[^\s?]*")


def password_in(uri: str) -> str:
    """The password (or other secret) in `uri`, decoded; "" if there is none."""
    if found := _user_info_in(uri).match(uri):
        return unquote(found["password"])
    found = _QUERY.search(uri) if "://" in uri else None
    return unquote(found["value"]) if found else ""


def other_secrets_in(uri: str) -> list[str]:
    """Query parameters with a secret other than the user's password, such as ``sslpassword``."""
    return [found["key"] for found in _QUERY.finditer(uri) if found["key"].lower() not in _OWN]


def without_password(uri: str) -> str:
    """`uri` without its password and other secrets."""
    uri = _user_info_in(uri).sub(r"\g<before>@", uri, count=1)
    return _QUERY.sub(r"\g<before>", uri).replace("?&", "?").rstrip("?&")


def mask_addresses(text: str) -> str:
    """`text` with ``***`` for user, password and secrets in every address.

    It rather hides too much than too little: half an address or one with an odd password is hidden too.
    Takes time in proportion to the length of `text`.
    """
    return _SHOWN_QUERY.sub(_without_value, _without_users(text))


def _user_info_in(uri: str) -> re.Pattern[str]:
    return _USER_INFO_OF_A_FILE if _FILES.match(uri) else _USER_INFO


def _without_value(found: re.Match[str]) -> str:
    return f"{found['before']}=***" if _NAMES_A_SECRET.search(found["key"]) else found[0]


def _without_users(text: str) -> str:
    """Mask from ``//`` to the last '@' before a space; without one, and without a port,
    to the first '@' of the line."""
    shown: list[str] = []
    done = 0
    at = line_end = run_end = -1
    for slash in _SLASHES.finditer(text):
        if slash.start() < done:
            continue
        begin = slash.end()
        last = text.rfind("@", begin + 1, _TO_SLASH.match(text, begin).end())  # type: ignore[union-attr]
        if last < 0 and (user := _USER.match(text, begin)):
            begins = user.end()
            if at < begins and (at := text.find("@", begins)) < 0:
                break
            # Otherwise a search for an earlier address found no '@' in this run of characters.
            if run_end < begins:
                run_end = _TO_SPACE.match(text, begins).end()  # type: ignore[union-attr]
                last = text.rfind("@", begins, run_end)
            if line_end < begins and (line_end := text.find("\n", begins)) < 0:
                line_end = len(text)
            if last < 0 and at < line_end and not _PORT.match(text, begins):
                last = text.rfind("@", at, _TO_SPACE.match(text, at).end())  # type: ignore[union-attr]
        if last >= 0:
            shown += [text[done : slash.start()], "//***"]
            done = last
    return "".join([*shown, text[done:]])
