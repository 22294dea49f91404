"""Tests of LLM models: packaging, evaluation, serving, against a real server of the vendors' protocols."""
