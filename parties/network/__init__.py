"""The network between the parties: frames, links, TLS, identities, an in-memory network, and the driver that runs roles."""

__all__: list[str] = []
