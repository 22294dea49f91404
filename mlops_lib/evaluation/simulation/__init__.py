"""Conversations of several turns: the user's part from the golden data, and the LLM that plays the user."""
