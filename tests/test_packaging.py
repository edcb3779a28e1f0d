"""What is pinned, how it is installed, and what the package says of itself."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
RUN, DEVELOP, TORCH = (ROOT / name for name in ("constraints.txt", "constraints-dev.txt", "constraints-torch.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = ("README.md", "docs/tutorials/two-machines.md", "docs/how-to/install-offline.md", "CONTRIBUTING.md", "Makefile")
SMALLEST = 8  # wheels of a compiled package for one Python: Linux and macOS, two processors each, and Windows


def pins(file: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Each requirement of a file by its name, with its hashes."""
    found = {}
    for line in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line and not line.startswith(("#", "--")):
            words, *hashes = line.split(" --hash=")
            requirement = Requirement(words.strip())
            if requirement.marker is not None and not requirement.marker.evaluate() and requirement.name in found:
                continue  # another version of it is the one for this machine
            found[canonicalize_name(requirement.name)] = (requirement, [one.strip() for one in hashes])
    return found


@pytest.fixture(scope="module")
def pinned() -> dict[str, Version]:
    """The version of everything that is pinned, by name."""
    found = {}
    for file in (RUN, DEVELOP, TORCH):
        for name, (requirement, _) in pins(file).items():
            [one] = requirement.specifier
            assert one.operator == "==", f"{name} is not pinned"
            # What some need on one system and others on all stands in both files.
            assert found.setdefault(name, Version(one.version)) == Version(one.version), f"{name} is pinned twice"
    return found


def test_every_line_but_torchs_has_hashes() -> None:
    assert [*pins(TORCH)] == ["torch"]
    assert pins(TORCH)["torch"][1] == []
    for file in (RUN, DEVELOP):
        for name, (_, hashes) in pins(file).items():
            assert hashes, f"{name} has no hash"
            assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), name
            assert len(set(hashes)) == len(hashes), name


def test_the_hashes_are_those_of_every_platforms_wheels() -> None:
    for file in (RUN, DEVELOP):
        for name, (_, hashes) in pins(file).items():
            try:
                wheel = metadata.distribution(name).read_text("WHEEL") or ""
            except metadata.PackageNotFoundError:
                continue  # of another platform
            if "Root-Is-Purelib: false" in wheel and "-none-any" not in wheel:
                assert len(hashes) >= SMALLEST, f"{name} has the hashes of {len(hashes)} files only"


def asked() -> list[Requirement]:
    """What the project asks for: to run, in each extra, and to be built."""
    project = PROJECT["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    lines = (ROOT / "constraints.in").read_text(encoding="utf-8").splitlines()
    besides = [line for line in lines if line and not line.startswith("#")]
    return [
        Requirement(one) for one in [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"], *besides]
    ]


def test_everything_that_the_project_asks_for_has_a_pin_that_fits(pinned: dict[str, Version]) -> None:
    for requirement in asked():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no pin; `make constraints` makes one"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} and {pinned[name]}"


def test_what_pinned_packages_need_is_pinned_too(pinned: dict[str, Version]) -> None:
    for name in pinned:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform, or of the build alone
        for need in map(Requirement, needs):
            # The CUDA libraries of one of torch's builds come with it.
            cuda = name == "torch" and re.match("nvidia|cuda|triton", need.name)
            if (need.marker is None or need.marker.evaluate({"extra": ""})) and not cuda:
                assert canonicalize_name(need.name) in pinned, f"{name} needs {need.name}, which has no pin"


def test_what_runs_and_builds_vsplit_is_pinned_without_the_tools_of_its_developers(pinned: dict[str, Version]) -> None:
    run = {*pins(RUN), "torch"}
    project = PROJECT["project"]
    extras = [
        one for name, extra in project["optional-dependencies"].items() if name not in ("dev", "docs") for one in extra
    ]
    for line in [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]:
        assert canonicalize_name(Requirement(line).name) in run
    assert not run & {"pytest", "mypy", "ruff", "hypothesis", "selenium"}


@pytest.mark.parametrize("page", PAGES)
def test_no_command_searches_a_second_index_or_downloads_what_is_not_checked(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "extra-index-url" not in text
    for command in re.findall(r"^\s*(?:\S+ -m )?\S*\bpip (?:install|download|wheel) (.*)$", text, re.MULTILINE):
        torch = command.endswith("--requirement constraints-torch.txt")
        itself = "--no-deps --no-build-isolation" in command
        assert torch or itself or "--require-hashes" in command, command
        assert torch or "--index-url" not in command, command


def test_the_source_holds_what_the_install_commands_name() -> None:
    packed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"constraints.in", *(file.name for file in (RUN, DEVELOP, TORCH))} <= {*packed}


# --- what the package says of itself -------------------------------------------------------------------------------------


def test_the_metadata_have_the_addresses_that_security_md_refers_to() -> None:
    project = PROJECT["project"]
    [author] = project["authors"]
    addresses = [author["email"].partition("@")[2], *(url.split("/")[2] for url in project["urls"].values())]
    assert author["name"]
    assert {"Homepage", "Documentation", "Changelog", "Security"} <= {*project["urls"]}
    assert all(url.startswith("https://") for url in project["urls"].values())
    placeholders = [address.endswith(".example") for address in addresses]
    assert all(placeholders) or not any(placeholders), "some addresses are placeholders and some are not"
    text = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())
    assert "the author's e-mail address and the `Security` link" in text
    # The page says that they reach nobody as long as that is so, and no longer.
    assert ("they end in `.example`" in text) == all(placeholders)


def test_the_classifiers_name_pythons_that_the_tests_run_with() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = [one.removeprefix(prefix) for one in PROJECT["project"]["classifiers"] if one.startswith(prefix)]
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=3.")
    assert oldest in named
    assert all(int(one) >= int(oldest) for one in named)
    if str(sys.version_info.minor) not in named:
        pytest.skip(f"the classifiers do not promise Python 3.{sys.version_info.minor}, with which this run is")


def test_the_classifiers_are_some_that_pypi_knows() -> None:
    known = pytest.importorskip("trove_classifiers", reason="what builds the project is not installed").classifiers
    assert {*PROJECT["project"]["classifiers"]} <= known
