"""The plots of a run's records, training and traffic, as SVG text that is part of a page: see `drawing`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from parties.report.drawing import ALONE, DASHES, JOINT, PALE, SHADES, WIDE, shortened, svg, thousands


def losses(
    numbers: Sequence[int], train: Sequence[float | None], validation: Sequence[float | None], kept: int | None
) -> Markup:
    """Training and validation loss by epoch, with a line at the epoch whose model is used."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for values, colour, name, dash in (
            (train, JOINT, "Training", DASHES["joint"]),
            (validation, ALONE, "Validation", DASHES["alone"]),
        ):
            known = [(number, value) for number, value in zip(numbers, values, strict=True) if value is not None]
            if known:
                xs, ys = zip(*known, strict=True)
                axis.plot(xs, ys, color=colour, linestyle=dash, label=name, marker="o" if len(known) == 1 else "")
        if kept is not None:
            axis.axvline(kept, color="#8a949e", linewidth=1, linestyle=":", label=f"Model of epoch {kept}")
        axis.set(xlabel="Epoch", ylabel="Loss", title="Loss by epoch", xlim=(numbers[0] - 0.5, numbers[-1] + 0.5))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(loc="best")

    label = f"Loss by epoch, training and validation; {len(numbers)} epochs" + (
        f", the model of epoch {kept} is used." if kept else "."
    )
    return svg("losses", label, (WIDE, 2.8), draw)


def records(bars: Sequence[tuple[str, int]], parts: Sequence[tuple[str, int]]) -> Markup:
    """Horizontal bars of record counts, and a last one, the matched records, cut into its `parts` (name, count)."""
    matched = sum(count for _, count in parts)

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        names = [*(shortened(name, 34) for name, _ in bars), "Matched"]
        axis.barh(range(len(bars)), [count for _, count in bars], color=PALE, height=0.6)
        left = 0
        for (name, count), colour in zip(parts, SHADES, strict=False):
            axis.barh(len(bars), count, left=left, color=colour, height=0.6, label=f"{name} {thousands(count)}")
            left += count
        for place, count in enumerate([*(count for _, count in bars), matched]):
            axis.annotate(thousands(count), (count, place), xytext=(4, 0), textcoords="offset points", va="center")
        _as_bars(figure, axis, names, "Records")

    label = "Records: " + ", ".join(f"{name} {count}" for name, count in [*bars, ("matched", matched)]) + "."
    return svg("records", label, (WIDE, 1.1 + 0.34 * (len(bars) + 1)), draw)


def traffic(kinds: Sequence[tuple[str, int, int]], shown: Callable[[int], str]) -> Markup:
    """Bytes sent and received by kind of message; `shown` writes a number of bytes for a person."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for number, (name, colour) in enumerate((("Sent", ALONE), ("Received", JOINT))):
            for row, (_, sent, received) in enumerate(kinds):
                size, both = (sent, received)[number], sent > 0 and received > 0
                place = row + (0.38 * number - 0.19 if both else 0)
                axis.barh(place, size, color=colour, height=0.34, label=name if row == 0 else None)
                if size == 0:
                    continue
                axis.annotate(shown(size), (size, place), xytext=(4, 0), textcoords="offset points", va="center")
        _as_bars(figure, axis, [shortened(kind, 34) for kind, _, _ in kinds], None)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(int(value))))
        axis.xaxis.set_major_locator(MaxNLocator(5))

    label = "Bytes by kind of message: "
    label += "; ".join(f"{kind}, sent {shown(sent)}, received {shown(received)}" for kind, sent, received in kinds)
    return svg("traffic", label + ".", (WIDE, 1.0 + 0.46 * len(kinds)), draw)


def _as_bars(figure: Figure, axis: Axes, names: Sequence[str], label: str | None) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, max(1.0, axis.get_xlim()[1]) * 1.08)  # Room for the number at the end of the longest bar.
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_formatter(FuncFormatter(thousands))
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if label:
        axis.set_xlabel(label)
    figure.legend(loc="outside lower center", ncols=3)
