"""How much of a record crosses the cut layer: how many numbers, of how many bits, how often, from how many columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parties.command.screen import print_text

if TYPE_CHECKING:
    from rich.console import Console

    from parties.data.party_data import PartyData

FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class CutLayer:
    """The width of an embedding, the bits of each of its numbers, and the most epochs.

    `columns` is the number of columns that go into this party's bottom model: each column of numbers or of categories counts
    as one, and an image as many as it has pixels in all channels. Indicators of missing values are not counted.
    """

    width: int
    number_bits: int
    epochs: int
    columns: int

    @property
    def bits(self) -> int:
        """Bits of a record in one pass."""
        return self.width * self.number_bits

    @property
    def numbers(self) -> str:
        """The numbers of a record in one pass."""
        return f"{self.width:,} number{'' if self.width == 1 else 's'} of {self.number_bits} bits"

    @property
    def passes(self) -> str:
        """How often the embedding of a record crosses."""
        return (
            f"A training record crosses up to {self.epochs:,} times, a validation record up to {self.epochs + 1:,} times "
            "(including the final pass), and a test record once (in the final pass)."
        )

    @property
    def too_wide(self) -> bool:
        """Whether an embedding has room for all columns that it is computed from."""
        return self.width >= self.columns


def cut_layer(party_data: PartyData) -> CutLayer:
    """The cut layer of this party's job."""
    job, image = party_data.party.job, party_data.party.settings.data.image
    pixels = image.size[0] * image.size[1] * image.channels if image is not None else 0
    secure = job.model.secure_sum
    return CutLayer(
        width=job.model.embedding,
        number_bits=FLOAT_BITS if secure is None else secure.bits,
        epochs=job.train.epochs,
        columns=party_data.table.features.shape[1] + pixels,
    )


def cut_layer_lines(party_data: PartyData) -> list[str]:
    """What crosses the cut layer for each record, for the screen."""
    cut, label = cut_layer(party_data), party_data.party.job.label_party
    if party_data.party.role == "label":
        return [
            f"Gradients: {cut.width:,} number{'' if cut.width == 1 else 's'} of {FLOAT_BITS} bits, "
            f"{cut.width * FLOAT_BITS:,} bits in all, for each training record, computed from its label and sent to each "
            f"feature party up to {cut.epochs:,} times."
        ]
    return [
        f"Embeddings: {cut.numbers}, {cut.bits:,} bits in all, for each record and pass, computed from {_columns(cut)} "
        f"(numbers, categories and pixels; indicators of missing values are not counted). {cut.passes} "
        f"The table says what {label} can read from them."
    ]


def cut_layer_warning(party_data: PartyData) -> str | None:
    """The warning where an embedding is not narrower than the columns that it is computed from; None: it is narrower."""
    cut = cut_layer(party_data)
    if party_data.party.role == "label" or not cut.too_wide:
        return None
    return (
        f"An embedding of {cut.width:,} number{'' if cut.width == 1 else 's'} is not narrower than the {_columns(cut)} that "
        "it is computed from, so it has room for all of them: choose a smaller model.embedding."
    )


def print_cut_layer(party_data: PartyData, console: Console) -> None:
    """Print what crosses the cut layer for each record, and the warning where it applies."""
    for line in cut_layer_lines(party_data):
        print_text(console, line)
    warning = cut_layer_warning(party_data)
    if warning is not None:
        print_text(console, f"Warning: {warning}", style="yellow")


def _columns(cut: CutLayer) -> str:
    return f"{cut.columns:,} own column{'' if cut.columns == 1 else 's'}"
