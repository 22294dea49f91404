"""The callers of the service, by the names of their API keys: their conversations and their spending."""
