"""Paillier's cipher for sums of many small numbers: packing, encryption, addition, decryption.

`keys` makes and checks keys, `fixed_point` turns embeddings into whole numbers and back, `packing` puts many of them into
one plaintext, `noise` makes the random part of ciphertexts ahead of time, `cipher` encrypts, adds and decrypts, and
`arithmetic` holds the three operations that take the time. All work on batches and can be pieces of a role's Work.
SPEC.md beside this file says why it is right and what it assumes.
"""
