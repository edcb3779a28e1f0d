"""The command `vsplit`: one module per subcommand, and the screens that it prints."""

__all__: list[str] = []
