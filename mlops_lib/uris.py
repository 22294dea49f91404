"""Passwords in addresses: find them, take them out, and mask them wherever an address is shown."""

import re

# scheme://user:password@host and ?password=... (libpq's spelling); a password may hold '@' but no '/'.
_USER_INFO = re.compile(r"(?P<before>\w[\w+.-]*://[^:/@\s]*):(?P<password>[^/\s]+)@")
_QUERY = re.compile(r"(?P<before>[?&](?:password|passwd|pwd))=(?P<password>[^&\s#'\"]+)", re.IGNORECASE)


def password_in(uri: str) -> str:
    """The password that `uri` carries, decoded; "" when there is none."""
    from urllib.parse import unquote

    found = _USER_INFO.search(uri) or (_QUERY.search(uri) if "://" in uri else None)
    return unquote(found["password"]) if found else ""


def without_password(uri: str) -> str:
    """`uri` without its password; everything else stays."""
    uri = _USER_INFO.sub(r"\g<before>@", uri)
    return _QUERY.sub(lambda found: found["before"][0], uri).replace("?&", "?").rstrip("?&")


def masked(text: str) -> str:
    """`text` with ``***`` in the place of user and password in every address."""
    return _QUERY.sub(r"\g<before>=***", re.sub(r"//[^/\s]+@", "//***@", text))
