"""One party's run in the order of its steps: context, connection, handshake, alignment, training, evaluation, results."""

__all__: list[str] = []
