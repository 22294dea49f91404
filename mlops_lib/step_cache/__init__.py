"""The step cache: a step whose inputs are unchanged is not run again."""
