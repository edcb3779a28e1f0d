"""Every kind of message that can cross, so that a report has a line on what each reveals."""

from __future__ import annotations

from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept, StateKeptByAll
from parties.ledger.messages import LedgerHead, LedgerLastLine, LedgerSalt
from parties.run.handshake import Handshake
from parties.run.model_choice import ModelOffer, ModelRequest
from psi import KeyShapes
from psi.messages import (
    Agreement,
    ListSize,
    ListSizes,
    MaskedByAll,
    MaskedKeys,
    MatchBits,
    MatchCount,
    MatchPositions,
    OwnPositions,
)
from psi.multiplicity import RowCounts
from vsplit.aggregation.attempt import AttemptNonce, AttemptNonces
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.aggregation.paillier_sum import EncryptedSum, PaillierKey
from vsplit.aggregation.plain import Embedding
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.protocol import Message
from vsplit.sealing import FreshKeys, KeyProofs, Sealed

KINDS: tuple[type[Message], ...] = (
    Handshake,
    LedgerSalt,
    LedgerLastLine,
    LedgerHead,
    LocalStateOffer,
    StartDecision,
    StateKept,
    StateKeptByAll,
    ModelOffer,
    ModelRequest,
    FreshKeys,
    KeyProofs,
    Sealed,
    ListSize,
    ListSizes,
    MaskedKeys,
    MaskedByAll,
    MatchCount,
    Agreement,
    MatchBits,
    OwnPositions,
    MatchPositions,
    KeyShapes,
    RowCounts,
    Parts,
    AttemptNonce,
    AttemptNonces,
    PaillierKey,
    Embedding,
    MaskedEmbedding,
    EncryptedSum,
    Gradient,
    Verdict,
)
