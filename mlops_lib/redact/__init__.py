"""Secrets in texts. They are masked where a text leaves the process, see docs/decisions/0311.

`mask` is for messages that people read, `mask_secrets` for content that is kept as data.
`output` and `traces` mask all that a process logs, prints and traces.
"""

from mlops_lib.redact.addresses import mask_addresses, other_secrets_in, password_in, without_password
from mlops_lib.redact.keys import add_secrets, mask_secrets

__all__ = ["add_secrets", "mask", "mask_secrets", "other_secrets_in", "password_in", "without_password"]


def mask(text: str) -> str:
    """`text` without secrets, and without user and password in every address."""
    return mask_addresses(mask_secrets(text))
