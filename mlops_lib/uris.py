"""Passwords in addresses: find them, take them out, and mask them wherever an address is shown."""

import re
from urllib.parse import unquote

# scheme://user:password@host as SQLAlchemy has it, where a password may hold '/' and spaces; '@' too, for safety.
_USER_INFO = re.compile(r"(?P<before>\w[\w+.-]*://[^:/]*):(?P<password>[^@]*(?:@[^@/?#\s]*(?=@))*)@")
# ?password=... and its like; passfile is a path, and odbc_connect holds a whole address of its own.
_KEY = r"(?P<key>[^=&?\s]*(?:pass(?!file)|pwd|secret|token|odbc_connect)[^=&?\s]*)"
_QUERY = re.compile(rf"(?P<before>[?&]){_KEY}=(?P<value>[^&]+)", re.IGNORECASE)
#: Keys whose value is the user's own password, for which `password_in` may stand in.
_OWN = ("password", "passwd", "pwd")

# In running text: up to the last '@' before a space, else, where no port can be meant, to the first '@' of the line.
_SHOWN_USER_INFO = re.compile(
    r"//(?:[^/\s]+|[^:/@\s]*:(?:[^\s?]*|(?!\d+\b)[^@\n]*)(?:@[^\s?]*)?)@",
)
_SHOWN_QUERY = re.compile(rf"(?P<before>[?&]{_KEY})=[^&\s'\"]+", re.IGNORECASE)


def password_in(uri: str) -> str:
    """The password (or other secret) that `uri` carries, decoded; "" when there is none."""
    if found := _USER_INFO.match(uri):
        return unquote(found["password"])
    found = _QUERY.search(uri) if "://" in uri else None
    return unquote(found["value"]) if found else ""


def other_secrets_in(uri: str) -> list[str]:
    """Keys of the query that hold a secret other than the user's password: ``sslpassword``, ``odbc_connect``."""
    return [found["key"] for found in _QUERY.finditer(uri) if found["key"].lower() not in _OWN]


def without_password(uri: str) -> str:
    """`uri` without its password and other secrets; everything else stays."""
    uri = _USER_INFO.sub(r"\g<before>@", uri, count=1)
    return _QUERY.sub(r"\g<before>", uri).replace("?&", "?").rstrip("?&")


def masked(text: str) -> str:
    """`text` with ``***`` in the place of user and password in every address."""
    return _SHOWN_QUERY.sub(r"\g<before>=***", _SHOWN_USER_INFO.sub("//***@", text))
