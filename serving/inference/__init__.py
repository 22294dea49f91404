"""The inference path: request rows to checked predictions."""
