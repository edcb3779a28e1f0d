"""What a run reports to its operator: events on the screen, the log, and metrics for Prometheus."""

__all__: list[str] = []
