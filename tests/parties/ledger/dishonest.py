"""The dishonest owner of a ledger: it changes its file as it likes, and makes all anew that its own key can make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from parties.ledger.examination import signed_line_of, state_in
from parties.ledger.ledger_state import Stream
from parties.ledger.record import NO_HASH, AnyLine, Crossed, End, Head, NewSession, chained, decode, encode, position_of
from parties.ledger.signing import SessionBinding
from parties.network.identity import PrivateIdentity, PublicIdentity

Lines = list[AnyLine]


class Owner:
    """The party `name` with its private key, in front of its own ledger at `path`."""

    def __init__(self, name: str, key: PrivateIdentity, path: Path) -> None:
        self.name = name
        self.sign = key.sign
        self.path = path

    def lines(self) -> Lines:
        """Its ledger as it is; each line has the number that it had when it was written."""
        return [decode(raw) for raw in self.path.read_bytes().splitlines()]

    def made_anew(self, lines: Sequence[AnyLine]) -> bytes:
        """A file of these lines: numbered and chained again, messages counted again, own heads and ends signed again.

        The numbers that lines have say where they stood, so that an own head names the line that stands there now.
        """
        return b"".join(raw + b"\n" for raw in _Rewriting(self).all(lines))

    def write(self, path: Path, lines: Sequence[AnyLine]) -> Path:
        """Such a file at `path`."""
        path.write_bytes(self.made_anew(lines))
        return path

    def end(self, like: AnyLine, word: str) -> End:
        """A line that ends the session of the line `like`; its signature is made when it is written."""
        session = like.session  # type: ignore[union-attr]
        return End(line=like.line + 1, time=like.time, before=NO_HASH, session=session, word=word, signature="0" * 128)


class _Rewriting:
    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.raw: list[bytes] = []
        self.stood: list[int] = []  # where each line stood before
        self.messages: list[tuple[int, Crossed]] = []  # with the line
        self.binding = SessionBinding(b"", b"", {})

    def all(self, lines: Sequence[AnyLine]) -> list[bytes]:
        for line in lines:
            new = self._anew(line)
            self.raw.append(encode(new))
            self.stood.append(line.line)
        return self.raw

    def _anew(self, line: AnyLine) -> AnyLine:
        before = chained(self.raw[-1]) if self.raw else NO_HASH
        new: Any = msgspec.structs.replace(line, line=len(self.raw) + 1, before=before)
        if isinstance(new, NewSession):
            keys = {name: PublicIdentity.parse(line).key for name, line in new.identities.items()}
            self.binding, self.messages = (
                SessionBinding(bytes.fromhex(new.digest), bytes.fromhex(new.session), keys, new.format),
                [],
            )
        elif isinstance(new, Crossed):
            way = new.direction, new.peer
            number = 1 + sum((one.direction, one.peer) == way for _, one in self.messages)
            new = msgspec.structs.replace(new, number=number)
            self.messages.append((new.line, new))
        elif isinstance(new, Head) and new.signer == self.owner.name and new.receiver in self.binding.identities:
            new = self._head(new)
        elif isinstance(new, End):
            statement = self.binding.end_statement(self.owner.name, new.word, position_of(new))
            new = msgspec.structs.replace(new, signature=self.owner.sign(statement).hex())
        return new

    def _head(self, head: Head) -> Head:
        lines = max((at + 1 for at, stood in enumerate(self.stood) if stood <= head.lines), default=len(self.raw))
        streams: dict[str, Stream] = defaultdict(Stream)
        for at, one in self.messages:
            if at <= lines and one.peer == head.receiver:
                streams[one.direction].add(one.kind, one.size, bytes.fromhex(one.digest))
        head = msgspec.structs.replace(
            head,
            lines=lines,
            head=chained(self.raw[lines - 1]),
            sent=streams["sent"].count,
            sent_stream=streams["sent"].value().hex(),
            received=streams["received"].count,
            received_stream=streams["received"].value().hex(),
        )
        statement = self.binding.statement(head.signer, head.receiver, state_in(head), signed_line_of(head))
        return msgspec.structs.replace(head, signature=self.owner.sign(statement).hex())
