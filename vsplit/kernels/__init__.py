"""Arithmetic on big integers, many at a time, compiled on the user's machine; each kernel has a portable twin.

`lanes` is the vector layer, `field` with `fma51` and `ifma51` the arithmetic modulo 2^255 - 19, `curve_code` and
`sha512_code` the generated kernels; `digits`, `montgomery_code` and `power_code` do long integers. `jit` compiles,
`engine` chooses, and `curve25519` and `montgomery` are what the rest of the house calls. SPEC.md beside this file says why
it is right and what time it takes.
"""
