"""Operating the service: health, metrics, logs, prediction log, tracing, shutdown."""
