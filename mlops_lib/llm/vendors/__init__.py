"""Clients of chat completions: messages to JSON, answers and streams back."""
