"""Feature enrichment of requests."""
