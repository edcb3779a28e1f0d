"""A bottom model of the user's own: where it is looked for, what it may import, and what is said where it is not there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from parties.run.own_module import builder_at
from vsplit.learn.models import InputShape, build_bottom
from vsplit.protocol import ConfigError

SHAPE = InputShape(0, (), (1, 4, 4))
PIXELS = """
import torch

class Pixels(torch.nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.layer = torch.nn.Linear(shape.image[0] * shape.image[1] * shape.image[2], width)

    def forward(self, inputs):
        return self.layer(inputs.image.flatten(1))
"""
MAKERS = """
from my_own.layers import Pixels

def wrong_width(shape, width):
    return Pixels(shape, width + 1)

def no_module(shape, width):
    return lambda inputs: inputs

number = 3
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """No module of a test is left for the next one, and no folder on the search path."""
    before, path = set(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - before:
        if name.startswith("my_own"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a package, another one without __init__.py, and two files that stand alone."""
    for name in ("my_own", "my_own_plain/inner"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "layers.py").write_text(PIXELS, encoding="utf-8")
    (tmp_path / "my_own/__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "my_own/relative.py").write_text("from .layers import Pixels\n", encoding="utf-8")
    (tmp_path / "my_own/makers.py").write_text(MAKERS, encoding="utf-8")
    (tmp_path / "my_own_script.py").write_text("import sys\nsys.exit(5)\n", encoding="utf-8")
    (tmp_path / "my_own_needs.py").write_text("import no_such_package_at_all\n", encoding="utf-8")
    (tmp_path / "my_own_file.py").write_text(PIXELS, encoding="utf-8")
    (tmp_path / "my_own_lone.py").write_text("from my_own_file import Pixels\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "my_own_file:Pixels",
        "my_own.layers:Pixels",
        "my_own.relative:Pixels",
        "my_own.makers:Pixels",
        "my_own_plain.inner.layers:Pixels",
    ],
)
def test_a_file_or_a_package_is_loaded_from_the_folder_that_is_named(folder: Path, path: str) -> None:
    bottom = build_bottom(builder_at(path, folder), SHAPE, 6)
    assert isinstance(bottom, nn.Module)
    assert Path(sys.modules[type(bottom).__module__].__file__ or "").is_relative_to(folder)
    assert builder_at(path, folder) is builder_at(path, folder)


def test_a_package_that_is_installed_needs_no_folder(folder: Path) -> None:
    assert builder_at("torch.nn:Linear", folder) is nn.Linear
    (folder / "torch").mkdir()  # a folder of data, and no package
    assert builder_at("torch.nn:Linear", folder) is nn.Linear
    assert builder_at("torch.nn:Linear") is nn.Linear


def test_another_folder_is_another_module(folder: Path, tmp_path: Path) -> None:
    first = builder_at("my_own.makers:Pixels", folder)
    other = tmp_path / "other/my_own"
    other.mkdir(parents=True)
    (other / "layers.py").write_text(PIXELS, encoding="utf-8")
    (other / "makers.py").write_text(MAKERS, encoding="utf-8")
    assert builder_at("my_own.makers:Pixels", tmp_path / "other") is not first


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("my_own.makers:wrong_width", "model.embedding asks for"),
        ("my_own.makers:no_module", "did not return a torch.nn.Module"),
        ("my_own.makers:number", "not a function"),
        ("my_own.makers:absent", r"my_own\.makers was found \(.*makers\.py\), but has no absent\. Name a function"),
        ("my_own_file:Pixel", r"has no Pixel; did you mean Pixels\? Name a function"),
        ("my_own_script:Pixels", r"importing my_own_script ends the program \(SystemExit: 5\)"),
        ("my_own_needs:Pixels", r"my_own_needs was found, and needs no_such_package_at_all, which is not installed"),
        ("my_own.absent:build", r"cannot be imported .*my_own\.absent.* it is looked for in the folder "),
        ("no_such_package.here:build", r"it is looked for in the folder .*bottom\.folder, or install its package"),
        ("my_own_lone:Pixels", r"my_own_file is in .* `from \. import my_own_file`"),
    ],
)
def test_what_is_wrong_with_a_module_is_said(folder: Path, path: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build_bottom(builder_at(path, folder), SHAPE, 6)


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"looked for in .*/none, which is no folder; correct the key bottom\.folder"):
        builder_at("my_own_file:Pixels", folder / "none")
    with pytest.raises(ConfigError, match="see that its package is installed"):
        builder_at("my_own_file:Pixels")


def test_no_module_that_is_in_use_is_replaced(folder: Path) -> None:
    (folder / "json.py").write_text("def build(shape, width): ...\n", encoding="utf-8")
    before = sys.modules["json"]
    with pytest.raises(ConfigError, match=r"names json, but this is the name of a module that is in use already"):
        builder_at("json:build", folder)
    assert sys.modules["json"] is before


def test_a_module_that_fails_is_not_left_half_loaded(folder: Path) -> None:
    file = folder / "my_own_broken.py"
    file.write_text("raise RuntimeError('not on a Sunday')\n", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Sunday"):
            builder_at("my_own_broken:Pixels", folder)
    assert "my_own_broken" not in sys.modules
