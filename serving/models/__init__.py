"""Served model versions: found in the registry, cached on disk, loaded."""
