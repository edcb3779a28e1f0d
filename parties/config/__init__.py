"""The two files: what the parties agree on (`job`), and what stays private to one party (`party`)."""
