"""Every compiled kernel runs in these tests on every machine: without IFMA, it is put together from other instructions."""

from __future__ import annotations

import pytest

from vsplit.kernels import engine


@pytest.fixture(scope="session", params=["fma", "ifma"])
def kernels(request: pytest.FixtureRequest) -> engine.Kernels:
    return engine.build(request.param, native=request.param != "ifma" or "ifma" in engine.supported())
