"""The public API of each package is its `__all__`: listed here, so that a change of it is a conscious one.

`psi` offers names. The packages of `vsplit` offer modules, which are imported where they are needed, since some load torch,
scikit-learn or LLVM. `parties` is a program: its rooms use each other's modules, and offer nothing to others.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLIC = {
    "vsplit": "__version__",
    "vsplit.aggregation": "attempt check_installed interface masked_sum paillier_sum plain receiver_for secure_sum sender_for",
    "vsplit.evaluation": "calibration curves metrics shapley",
    "vsplit.kernels": "curve25519 engine montgomery portable",
    "vsplit.learn": """
        batches checkpoint column_importance embedding_record feature groups label messages models
        onnx_module party_dropout plan runtime scoring subset_models traffic training
    """,
    "vsplit.paillier": "cipher fixed_point keys noise packing",
    "vsplit.protocol": """
        HEAD Array Bytes Checkpoint Collect ConfigError DataError Deadlock Effect Floats LocalError Message
        MismatchError Note PeerAbsent PeerLost ProtocolError Receive RefusedError RemoteError Role Send StoppedError
        StorageError TransportError VsplitError Work all_finite array_fields receive send work
    """,
    "vsplit.sealing": """
        KEY SIGNATURE TAG Credentials FreshKeys KeyProofs Place Seal Sealed exchange_keys pass_on relay_key_exchange
    """,
    "psi": """
        CONTRACT MOST_RECORDS MOST_STEPS ORDER_SECRET Alignment ColumnReport ColumnShape KeyList KeyReport KeyShapes Keys
        Limits Outflow Overlap Repeated RowCounts Shapes Step StepReport UnusableKeysError align_feature align_label
        check_agreed check_match contract_version exchange_shapes_feature exchange_shapes_label expected_row_counts
        expected_traffic is_low key_shapes likely_causes many_malformed matched_rows messages overlap_feature overlap_label
        read_keys read_step read_steps receive_row_counts send_row_counts
    """,
}
PACKAGES = sorted(
    ".".join(file.parent.relative_to(ROOT).parts)
    for package in ("vsplit", "psi", "parties")
    for file in (ROOT / package).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_of_a_package_are_those_listed_here(package: str) -> None:
    names = importlib.import_module(package).__all__
    assert sorted(names) == sorted(PUBLIC.get(package, "").split())
    assert package in PUBLIC or package.partition(".")[0] == "parties"
    for name in names:
        if not hasattr(importlib.import_module(package), name):
            importlib.import_module(f"{package}.{name}")


def _imports(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("library", [package for package in PUBLIC if package != "vsplit"])
def test_other_packages_import_only_what_is_public(library: str) -> None:
    public = set(PUBLIC[library].split())
    outside = {
        file
        for package in ("vsplit", "psi", "parties")
        for file in (ROOT / package).rglob("*.py")
        if not str(file.relative_to(ROOT)).startswith(library.replace(".", "/") + "/")
    }
    found = {
        f"{file.relative_to(ROOT)}: {module}.{name}"
        for file in outside
        for module, name in _imports(file)
        if f"{module}.".startswith(f"{library}.")
        and not public & ({name} if module == library else {module.removeprefix(f"{library}.")} | {name})
    }
    assert not found
