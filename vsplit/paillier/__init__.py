"""Paillier encryption for sums of many small numbers: keys, packing, noise, encryption, addition and decryption.

`__all__` names the public modules. `keys` makes and checks keys, `fixed_point` turns embeddings into whole numbers and back,
`packing` puts many of them into one plaintext, `noise` makes the random part of ciphertexts ahead of time, and `cipher`
encrypts, adds and decrypts. `arithmetic` holds the three operations that take the time. All work on batches and can be
pieces of a role's Work. Only making a key needs the package phe. SPEC.md in this folder argues why the results are right and
states what is assumed.
"""

__all__ = ["cipher", "fixed_point", "keys", "noise", "packing"]
