"""The `mlops` command: one module for each group of commands."""
