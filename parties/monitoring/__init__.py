"""What a party tells its operators while it lives: logs, and figures for Prometheus."""
