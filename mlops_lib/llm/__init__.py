"""Call LLMs: chat models by name, with retries, limits, accounting and recording in one place.

The calls of graphs, wrappers and judges all go through one HTTP transport
(`mlops_lib.llm.transport.metered`). It counts tokens, stops at a budget, and records to a cassette.
"""
