"""Calling LLMs: chat models by name, with retries, limits, accounting and recording in one place.

Every call, whoever makes it (a graph, a wrapper, a judge), goes through one HTTP transport
(`mlops_lib.llm.transport`), which is where tokens are counted, budgets end and cassettes record.
"""
