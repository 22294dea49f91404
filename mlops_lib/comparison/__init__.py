"""Compares models on the same rows: champion and challenger in service, or versions of the registry."""
