"""What a party file says about this party's own part of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from parties.config.party import Party
from parties.config.party_file import Bottom, ImageColumn


@dataclass(frozen=True, slots=True)
class LocalModel:
    """The bottom model and the device that it runs on, and how the columns are prepared for it.

    `file` is the party file, for errors. `code_folder` is where a bottom model of the user's own is looked for first.
    `seed` sets the initial weights; None: they are drawn at random.
    """

    file: Path
    bottom: Bottom
    code_folder: Path
    categories: tuple[str, ...]
    image: ImageColumn | None
    device: str
    threads: int
    seed: int | None = field(repr=False)

    @classmethod
    def of(cls, party: Party) -> LocalModel:
        """That of `party`."""
        settings = party.settings
        return cls(
            file=party.file,
            bottom=settings.bottom,
            code_folder=party.code_folder,
            categories=settings.data.categories,
            image=settings.data.image,
            device=settings.device,
            threads=settings.threads,
            seed=settings.seed,
        )
