"""What operators can observe of a running party: events for its screen, logs, and metrics for Prometheus."""

__all__: list[str] = []
