"""The group `model` of a job: the part of the network that all parties know, and how embeddings are joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from parties.config.errors import wrong
from parties.config.fields import Aggregate, Hidden, Model
from vsplit.aggregation.interface import SECURE
from vsplit.paillier.fixed_point import LEAST_BITS, MOST_BITS, FixedPoint
from vsplit.protocol import ConfigError

FEWEST_FEATURE_PARTIES = 2
LEAST_KEY, MOST_KEY = 2048, 8192
_OF_PAILLIER = {"key_bits": 3072, "noise": "short"}


def _check_key_bits(bits: int) -> int:
    if not LEAST_KEY <= bits <= MOST_KEY or bits % 64:
        raise wrong(
            "",
            f"is {bits}; it must be a multiple of 64 from {LEAST_KEY} to {MOST_KEY}, because what a shorter key "
            "encrypts may be decrypted one day; 3072 is the default",
        )
    return bits


KeyBits = Annotated[int, AfterValidator(_check_key_bits)]


class Top(Model):
    """The label party's model over the joined embeddings."""

    hidden: Hidden


class SecureSum(Model):
    """How embeddings become whole numbers, and for `paillier_sum` alone how they are encrypted.

    Values are clipped to [-range, range] and have `bits` bits each. `key_bits` and `noise` are None with `masked_sum`.
    """

    range: Annotated[float, Field(ge=1e-6, le=1e6)] = 8.0
    bits: Annotated[int, Field(ge=LEAST_BITS, le=MOST_BITS)] = 16
    rounding: Literal["nearest", "stochastic"] = "nearest"
    key_bits: KeyBits | None = None
    noise: Literal["short", "full"] | None = None


class Joint(Model):
    """The part of the network that all parties must know. `embedding` is the width of the cut layer, per party.

    `secure_sum` is None exactly where the label party receives each single embedding.
    """

    embedding: Annotated[int, Field(ge=1, le=4096)]
    aggregate: Aggregate
    secure_sum: SecureSum | None = None
    top: Top

    @model_validator(mode="before")
    @classmethod
    def _defaults_are_written_out(cls, values: Any) -> Any:
        """So that a job that leaves defaults out has the same digests as one that writes them."""
        if not isinstance(values, Mapping) or not isinstance(values.get("aggregate"), str):
            return values  # the rule of the key itself refuses it
        if values["aggregate"] not in SECURE:
            return values
        given = values.get("secure_sum")
        if given is not None and not isinstance(given, Mapping):
            return values
        defaults = _OF_PAILLIER if values["aggregate"] == "paillier_sum" else {}
        left_out = {key: value for key, value in defaults.items() if given is None or given.get(key) is None}
        return {**values, "secure_sum": {**(given or {}), **left_out}}

    @model_validator(mode="after")
    def _secure_sums_are_for_their_aggregations(self) -> Joint:
        settings = self.secure_sum
        if settings is None:
            return self
        if self.aggregate not in SECURE:
            raise wrong(
                "secure_sum",
                f"is given with the aggregate {self.aggregate}; it is for {' and '.join(sorted(SECURE))} only, so omit it",
            )
        for key in _OF_PAILLIER:
            if self.aggregate != "paillier_sum" and getattr(settings, key) is not None:
                raise wrong(
                    f"secure_sum.{key}", f"is given with {self.aggregate}; it is for paillier_sum only, so omit it"
                )
        return self

    @property
    def bytes_per_value(self) -> int:
        """The most bytes that one number of an embedding takes in a message."""
        # A ciphertext is twice as long as its plaintext, and a slot has at most 31 bits.
        return 8 if self.aggregate == "paillier_sum" else 4

    def check_parties(self, feature_parties: int) -> None:
        """Raise the error of a config key where a secure sum of this many feature parties hides nothing or does not fit."""
        if self.secure_sum is None:
            return
        if feature_parties < FEWEST_FEATURE_PARTIES:
            raise wrong(
                "model.aggregate",
                f"is {self.aggregate} with one feature party, where a sum hides nothing: the label party subtracts its own "
                "part and obtains that party's embedding. Use sum or concat, which do not claim to hide it, or add a third "
                "party",
            )
        settings = self.secure_sum
        try:
            fixed = FixedPoint(settings.range, settings.bits, feature_parties)
            if settings.key_bits is not None:
                from vsplit.paillier.packing import Packing  # loads gmpy2, which other jobs do not need

                Packing(fixed, settings.key_bits)
        except ConfigError as error:
            raise wrong("model.secure_sum", f"does not fit: {error}") from None
