"""What `vsplit check` prints about this party before its data is read: its identity, how it connects, its log and metrics."""

from __future__ import annotations

from rich.console import Console

from parties.command.identity import check_identity
from parties.command.screen import print_text
from parties.config.fields import AUTO
from parties.config.log_target import LogTarget
from parties.config.party import Party
from parties.config.proxy import route_to
from parties.local.command_line import quoted_command
from parties.monitoring.logs import check_log
from parties.monitoring.metrics import check_metrics
from parties.network.identity import PrivateIdentity
from parties.network.tcp_listen import ANY4, ANY6, EVERYWHERE, ONLY_IPV4, has_ipv6


def print_identity(party: Party, console: Console) -> None:
    """Print where the key comes from, and check it against the job. Raises ConfigError."""
    if party.job.parties[party.name].identity == AUTO:
        launch = quoted_command("launch", party.file.parent)
        print_text(console, f"Identity: auto, made by {launch}; to run this party alone, it needs a key.")
    if party.identity is not None:
        check_identity(party, PrivateIdentity.load(party.identity))
        print_text(console, f"Key file: {party.identity}, readable by this user only.")


def print_connection(party: Party, console: Console) -> None:
    """Print where this party listens or what it dials, and how long it waits."""
    job = party.job
    if party.role == "label":
        host, port = party.bind
        print_text(console, f"Listens on port {port} of {_addresses(host)}; the feature parties dial {job.address}.")
        if port != job.host_and_port[1]:
            print_text(
                console,
                f"Warning: {party.name} listens on port {port}, and the job's address has port {job.host_and_port[1]}: unless "
                "something between forwards the one to the other, correct listen in the party file or address in the job.",
                style="yellow",
            )
        if host == EVERYWHERE and not has_ipv6():
            print_text(console, ONLY_IPV4)
    else:
        route = route_to(*job.host_and_port, party.settings.proxy, str(party.file))
        way = f" through the proxy {route.proxy}" if route.proxy else ""
        print_text(console, f"Dials {job.label_party} at {job.address}{way}, and opens no port.")
        if route.hint:
            print_text(console, route.hint)
    first, lost = party.settings.first_wait, party.settings.wait
    print_text(
        console,
        f"Waits {first:g} s for the other parties at the start (first_wait), and {lost:g} s for a lost link (wait).",
    )


def print_monitoring(party: Party, console: Console) -> None:
    """Print where the log and the metrics will be, if there are any. Raises ConfigError where that is impossible."""
    log = party.settings.log
    if log is not None:
        check_log(LogTarget.of(party))
        where = party.log_file or "the error output"
        print_text(
            console, f"Log: {where}, level {log.level} and above, as {'JSON' if log.format == 'json' else 'text'}."
        )
    if party.metrics_address is not None:
        check_metrics(party.settings.metrics, party.file)
        print_text(
            console,
            f"Metrics: http://{party.settings.metrics}/metrics during a run, for everybody who can reach this address.",
        )


def _addresses(host: str) -> str:
    if host == EVERYWHERE:
        return "every address of this machine" + (", IPv4 and IPv6" if has_ipv6() else "")
    families = {ANY4: "every IPv4 address of this machine", ANY6: "every address of this machine, IPv4 and IPv6"}
    return families.get(host, host)
