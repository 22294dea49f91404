"""Checks of a prepared dataset: declared rules, uniqueness, and a profile of its columns."""
