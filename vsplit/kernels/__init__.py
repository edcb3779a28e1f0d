"""Big-integer and curve arithmetic on many values at a time, compiled on the user's machine, each with a portable twin.

`__all__` names the modules that other packages call: `curve25519` (points), `montgomery` (powers modulo a square) and
`engine`, which compiles the kernels and chooses between them. They are imported where they are needed, since LLVM takes a part
of a second to load. Below them, `lanes` is the vector layer, `field` with `fma51` and `ifma51` the arithmetic modulo
2^255 - 19, `curve_code`, `curve_arithmetic` and `sha512_code` the generated kernels of the curve; `digits`,
`montgomery_code` and `power_code` are those of long integers. `jit` compiles. SPEC.md in this folder argues why the
results are right and states how long they take.
"""

__all__ = ["curve25519", "engine", "montgomery", "portable"]
