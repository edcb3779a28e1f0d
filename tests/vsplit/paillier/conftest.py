"""Keys for the tests, made once: from a fixed seed, so that they are the same in every run."""

from __future__ import annotations

import random

import pytest

from vsplit.paillier import keys
from vsplit.paillier.keys import PrivateKey, PublicKey


@pytest.fixture(scope="session")
def private() -> PrivateKey:
    """A private key of 2048 bits."""
    return keys.generate(2048, random.Random("a key for tests").randbytes)


@pytest.fixture(scope="session")
def public(private: PrivateKey) -> PublicKey:
    """Its public half."""
    return private.public_key
