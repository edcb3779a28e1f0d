"""One organisation's side: configuration, data, network, the steps of a run, ledger, report, and the command `vsplit`.

`parties` is a program and not a library: it offers no Python API, so `__all__` is empty here and in each of its rooms. Its
rooms use each other's modules by name.
"""

__all__: list[str] = []
