"""Image files to arrays, with Pillow, which is an extra: only a party with images needs it."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from parties.local.plain_file import open_plain
from parties.local.text import file_name
from vsplit.protocol import ConfigError, DataError

MOST_PIXELS = 64_000_000
"""A file that claims more pixels is refused before they are decoded: a small file can unfold into a huge image."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Kinds of file that Pillow decodes itself; for others it would start further programs."""


def read_images(
    paths: pd.Series[Any], size: tuple[int, int], channels: int, folder: Path, where: str = "the source"
) -> npt.NDArray[np.uint8]:
    """Read, turn upright and resize images: uint8 [n, channels, height, width], with `size` = (height, width).

    `paths` is `Table.images` or some of its rows; its index is the row number, from 0. Paths are relative to `folder`.
    `channels` is 1 (grey) or 3 (red, green, blue). Raises ConfigError where Pillow is not installed, and DataError that
    counts the files that are absent or broken, and shows the number of the first row but no path, which may have a name in it.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise ConfigError(
            "The party file names images (data.image), but Pillow is not installed; install it with: pip install pillow"
        ) from None
    found = np.zeros((len(paths), channels, *size), np.uint8)
    bad = []
    for place, (row, path) in enumerate(paths.items()):
        image = None if pd.isna(path) else _read(folder / file_name(str(path)), size, channels)
        if image is None:
            bad.append(row)
        else:
            found[place] = image
    if bad:
        raise DataError(
            f"In the column {paths.name} of {where}, {len(bad)} of {len(paths)} rows have no image file that can be read, "
            f"the first of them row {int(str(bad[0])) + 1} (counted from 1, without a header); replace these files, or leave "
            "out the rows."
        )
    return found


def _read(path: Path, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8] | None:
    """One image, uint8 [channels, height, width], or None where there is none."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, and names the file.
            with open_plain(path) as opened, Image.open(opened, formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    return None
                upright = ImageOps.exif_transpose(file)
                image = _eight_bits(upright).convert("L" if channels == 1 else "RGB")
                resized = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None
    pixels = np.asarray(resized, np.uint8)
    return pixels[np.newaxis] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _eight_bits(image: Any) -> Any:
    """Scans often have 16 bits a pixel, which Pillow would cut off at 255 instead of scaling."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
