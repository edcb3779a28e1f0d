"""Image files to arrays; broken ones are counted and not named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from parties.data import images
from parties.data.images import read_images
from vsplit.protocol import ConfigError, DataError

CANARY = "CANARY7311"


def save(folder: Path, name: str, pixels: np.ndarray, **options: object) -> None:
    Image.fromarray(pixels).save(folder / name, **options)


def paths(*names: str | None) -> pd.Series:
    return pd.Series(list(names), name="scan")


def test_colours_and_places_are_kept(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, :, 0] = 200
    pixels[:, 5, 2] = 100
    save(tmp_path, "a.png", pixels)
    found = read_images(paths("a.png"), (4, 6), 3, tmp_path)
    assert found.shape == (1, 3, 4, 6)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0], pixels.transpose(2, 0, 1))


def test_sizes_and_channels_are_brought_together(tmp_path: Path) -> None:
    save(tmp_path, "grey.png", np.full((10, 20), 50, np.uint8))
    save(tmp_path, "colour.jpg", np.full((7, 9, 3), 120, np.uint8))
    save(tmp_path, "deep.tif", np.full((8, 8), 128 * 256, np.uint16))
    (tmp_path / "below").mkdir()
    save(tmp_path / "below", "clear.png", np.full((5, 5, 4), 255, np.uint8))
    names = paths("grey.png", "colour.jpg", "deep.tif", "below/clear.png")
    grey = read_images(names, (5, 4), 1, tmp_path)
    assert grey.shape == (4, 1, 5, 4)
    assert np.abs(grey.reshape(4, -1).mean(axis=1) - [50, 120, 128, 255]).max() <= 1
    assert read_images(names, (5, 4), 3, tmp_path).shape == (4, 3, 5, 4)
    assert read_images(names.iloc[:0], (5, 4), 3, tmp_path).shape == (0, 3, 5, 4)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by a quarter to the right.
    save(tmp_path, "a.png", pixels, exif=exif)
    found = read_images(paths("a.png"), (4, 2), 1, tmp_path)
    np.testing.assert_array_equal(found[0, 0], [[255, 255], [255, 255], [0, 0], [0, 0]])


def test_broken_and_absent_files_are_counted_and_not_named(tmp_path: Path) -> None:
    save(tmp_path, "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / f"{CANARY}.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "text.png").write_text(CANARY, encoding="utf-8")
    (tmp_path / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    names = paths("a.png", f"{CANARY}.png", "text.png", "none.png", None, "eps.png", "a\0b.png", "a.png")
    with pytest.raises(DataError) as caught:
        read_images(names, (4, 4), 1, tmp_path, "clinic.csv")
    sentence = str(caught.value)
    assert "In the column scan of clinic.csv, 6 of 8 rows" in sentence
    assert "the first of them row 2 " in sentence
    assert CANARY not in sentence
    with pytest.raises(DataError, match="the first of them row 5 "):
        read_images(names.iloc[[0, 4, 7]], (4, 4), 1, tmp_path)


def test_a_small_file_that_unfolds_into_a_huge_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "a.png", np.zeros((40, 40), np.uint8))
    assert read_images(paths("a.png"), (4, 4), 1, tmp_path).shape == (1, 1, 4, 4)
    monkeypatch.setattr(images, "MOST_PIXELS", 1599)
    with pytest.raises(DataError, match="1 of 1 rows"):
        read_images(paths("a.png"), (4, 4), 1, tmp_path)
    monkeypatch.setattr(images, "MOST_PIXELS", 10**9)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own guard, of twice this number.
    with pytest.raises(DataError, match="1 of 1 rows"):
        read_images(paths("a.png"), (4, 4), 1, tmp_path)


def test_without_pillow_the_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigError, match="pip install pillow"):
        read_images(paths("a.png"), (4, 4), 1, tmp_path)
