"""spu's PSI (SecretFlow): ECDH, KKRT and RR22. Party 0 receives the result and tells party 1, so that both learn it.

Runs in an environment with spu. It reads and writes CSV files alone, so these stand in a folder in memory; the file is
written before the clock starts, and the result is read back after it has stopped. spu is told that no key is repeated,
which spares it a sort and a check. Its link is plain TCP.
"""

from __future__ import annotations

import csv
from pathlib import Path

from spu import libspu, psi

from benchmarks.psi_peers.party import Order, person_of_rows
from benchmarks.psi_peers.people import ids

_PATIENCE_MS = 3_600_000  # the command has a limit of its own


class Side:
    """One of the two parties; `order.option` is the protocol and, for ECDH, the curve after a space."""

    def __init__(self, order: Order) -> None:
        self.extra: dict[str, float] = {}
        self._order = order
        folder = Path(order.folder)
        self._output = folder / f"result{order.party}.csv"
        given = folder / f"ids{order.party}.csv"
        with given.open("w") as file:
            file.write("id,row\n")
            file.writelines(f"{member},{row}\n" for row, member in enumerate(ids(order.party, order.size)))
        self._config = _config(order.option, given, self._output)
        self._link = _link(order)
        self._link.barrier()

    def run(self) -> None:
        psi.psi_execute(self._config, self._link)

    def found(self) -> list[int]:
        with self._output.open(newline="") as file:
            rows = [int(line["row"]) for line in csv.DictReader(file)]
        return person_of_rows(self._order.party, self._order.size, rows)

    def close(self) -> None:
        self._link.stop_link()


def _config(option: str, given: Path, output: Path) -> psi.PsiExecuteConfig:
    protocol, _, curve = option.partition(" ")
    chosen = psi.PsiProtocolConfig(
        protocol=psi.parse_protocol(protocol),
        receiver_rank=0,
        broadcast_result=True,
        ecdh_params=psi.EcdhParams(curve=psi.parse_curve_type(curve)),
        rr22_params=psi.Rr22Rarams(low_comm_mode=False),
    )
    return psi.PsiExecuteConfig(
        protocol_conf=chosen,
        input_params=psi.InputParams(path=str(given), selected_keys=["id"], keys_unique=True),
        output_params=psi.OutputParams(path=str(output), disable_alignment=False),
    )


def _link(order: Order) -> libspu.link.Context:
    parties = libspu.link.Desc()
    parties.recv_timeout_ms = _PATIENCE_MS
    parties.http_timeout_ms = _PATIENCE_MS
    for number, port in enumerate(order.ports):
        parties.add_party(f"party{number}", f"127.0.0.1:{port}")
    return libspu.link.create_brpc(parties, order.party)


def prepare(order: Order) -> Side:
    """The side that `order` names."""
    return Side(order)
