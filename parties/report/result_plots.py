"""The plots of the results on the test records, as SVG text that is part of a page: see `drawing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from parties.report.drawing import COLOURS, DASHES, HALF, INK, MARKS, WIDE, shortened, svg, thousands
from vsplit.evaluation.curves import Bin, Line
from vsplit.evaluation.metrics import Estimate, Estimates


def roc(lines: Mapping[str, Line], names: Mapping[str, str]) -> Markup:
    """The ROC curves of each model, above the line of chance."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color="#8a949e", linewidth=1, linestyle=":", label="Chance")
        for model, line in lines.items():
            axis.plot(line["x"], line["y"], color=COLOURS[model], linestyle=DASHES[model], label=names[model])
        axis.set(xlabel="False positive rate", ylabel="True positive rate", title="ROC curve")
        axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axis.legend(loc="lower right")

    return svg("roc", f"ROC curve of {' and '.join(names[model] for model in lines)}.", (HALF, 3.5), draw)


def precision_recall(lines: Mapping[str, Line], names: Mapping[str, str], positive_share: float) -> Markup:
    """The precision-recall curves of each model, above the share of positive records."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.axhline(positive_share, color="#8a949e", linewidth=1, linestyle=":", label="Chance")
        for model, line in lines.items():
            style: dict[str, Any] = {"color": COLOURS[model], "label": names[model]}
            axis.plot(line["x"], line["y"], drawstyle="steps-post", linestyle=DASHES[model], **style)
        axis.set(xlabel="Recall", ylabel="Precision", title="Precision and recall")
        axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        # Below the axes: a good curve and a poor one together leave no corner of the plot free.
        figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handlelength=1.6)

    label = f"Precision against recall of {' and '.join(names[model] for model in lines)}."
    return svg("precision-recall", label, (HALF, 3.5), draw)


def calibration(bins: Mapping[str, Sequence[Bin]], names: Mapping[str, str]) -> Markup:
    """Predicted probability against what came true, in ten bins, above the number of records in each bin."""

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color="#8a949e", linewidth=1, linestyle=":", label="Perfect")
        for number, (model, parts) in enumerate(bins.items()):
            xs, ys = [part["predicted"] for part in parts], [part["observed"] for part in parts]
            style: dict[str, Any] = {
                "color": COLOURS[model],
                "marker": MARKS[model],
                "markersize": 4.5,
                "label": names[model],
            }
            upper.plot(xs, ys, linestyle=DASHES[model], **style)
            width = 0.08 / len(bins)
            centres = [
                np.floor(min(part["predicted"], 0.999) * 10) / 10 + 0.01 + width * (number + 0.5) for part in parts
            ]
            lower.bar(centres, [part["rows"] for part in parts], width=width, color=COLOURS[model])
        upper.set(ylabel="Share that came true", title="Calibration", xlim=(-0.01, 1.01), ylim=(-0.02, 1.04))
        upper.legend(loc="upper left")
        lower.set(xlabel="Predicted probability", ylabel="Records")
        lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        lower.yaxis.set_major_formatter(FuncFormatter(thousands))

    label = f"Predicted probability against the share that came true, for {' and '.join(names[m] for m in bins)}."
    return svg("calibration", label, (HALF, 4.1), draw)


def comparison(
    estimates: Mapping[str, Estimates],
    names: Mapping[str, str],
    panels: Mapping[str, Sequence[tuple[str, str]]],
    wide: bool,
) -> Markup:
    """Each metric of each model with its interval. `panels` has, by title, the (key, shown name) of its metrics;
    they are side by side in a wide plot and above each other in a half one."""
    rows = [len(part) for part in panels.values()]

    def draw(figure: Figure) -> None:
        if wide:
            axes = figure.subplots(1, len(panels), squeeze=False).ravel()
        else:
            axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[count + 0.6 for count in rows]).ravel()
        for axis, (title, metrics) in zip(axes, panels.items(), strict=True):
            for number, (model, found) in enumerate(estimates.items()):
                offset = 0 if len(estimates) == 1 else 0.32 * number - 0.16
                _intervals(axis, [found[key] for key, _ in metrics], model, names[model], offset)
            axis.set_yticks(range(len(metrics)), [name for _, name in metrics])
            axis.set(title=title, ylim=(len(metrics) - 0.5, -0.5))
            axis.grid(visible=False, axis="y")
            axis.margins(x=0.06)
            _in_plain_numbers(axis.xaxis)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)

    label = f"The metrics of {' and '.join(names[model] for model in estimates)} with their intervals, as in the table."
    size = (WIDE, 1.1 + 0.42 * max(rows)) if wide else (HALF, 1.6 + 0.42 * sum(rows))
    return svg("comparison", label, size, draw)


def _intervals(axis: Axes, estimates: Sequence[Estimate | None], model: str, name: str, offset: float) -> None:
    """One model's estimates with their intervals, one in each row."""
    for row, estimate in enumerate(estimates):
        if estimate is None:
            continue
        place = row + offset
        axis.plot([estimate["low"], estimate["high"]], [place, place], color=COLOURS[model], linewidth=2)
        label = name if row == 0 else None
        style: dict[str, Any] = {"color": COLOURS[model], "marker": MARKS[model], "linestyle": "none", "label": label}
        axis.plot([estimate["value"]], [place], markersize=6, **style)


def confusion(
    classes: Sequence[str], tables: Mapping[str, Sequence[Sequence[int]]], names: Mapping[str, str]
) -> Markup:
    """For each model, how many records of each true class (rows) were given each class (columns)."""
    count = len(classes)
    shown = [shortened(name, 14) for name in classes]

    step = max(1, -(-count // 15))  # With many classes only every second or third is named.
    crowded = max(len(label) for label in shown) * len(shown[::step]) > 30

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, len(tables), squeeze=False)[0]
        for axis, (model, table) in zip(axes, tables.items(), strict=True):
            counts = np.asarray(table, dtype=float)
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axis.pcolormesh(range(count), range(count), share, cmap="Blues", vmin=0, vmax=1, edgecolor="white")
            axis.grid(visible=False)
            axis.invert_yaxis()
            axis.set(title=names[model], xlabel="Predicted class", ylabel="True class")
            ticks = range(0, count, step)
            axis.set_xticks(ticks, shown[::step], rotation=45 if crowded else 0, ha="right" if crowded else "center")
            axis.set_yticks(ticks, shown[::step])
            axis.tick_params(length=0)
            if count <= 12:
                for row, column in np.ndindex(count, count):
                    colour = "white" if share[row, column] > 0.55 else INK
                    number = thousands(float(counts[row, column]))
                    axis.text(column, row, number, ha="center", va="center", color=colour)

    label = f"Confusion counts of {' and '.join(names[model] for model in tables)} for {count} classes."
    return svg("confusion", label, (WIDE if len(tables) > 1 else HALF, min(6.5, 2.6 + 0.28 * count)), draw)


def predicted(lines: Mapping[str, Line], names: Mapping[str, str]) -> Markup:
    """Predicted against true values of a sample of records, around the diagonal."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        ends = [end(line["x"]) for line in lines.values() for end in (min, max)]
        axis.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#8a949e", linewidth=1, linestyle=":")
        for model, line in lines.items():
            _dots(axis, line["x"], line["y"], model, names[model])
        axis.set(xlabel="True value", ylabel="Predicted value", title="Predicted against true")
        _in_plain_numbers(axis.xaxis, axis.yaxis)
        figure.legend(loc="outside lower center", ncols=2)

    label = f"Predicted against true values of {' and '.join(names[model] for model in lines)}."
    return svg("predicted", label, (HALF, 3.7), draw)


def residuals(lines: Mapping[str, Line], names: Mapping[str, str]) -> Markup:
    """Predicted minus true against the predicted value of the same sample."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.axhline(0, color="#8a949e", linewidth=1, linestyle=":")
        for model, line in lines.items():
            off = [y - x for x, y in zip(line["x"], line["y"], strict=True)]
            _dots(axis, line["y"], off, model, names[model])
        axis.set(xlabel="Predicted value", ylabel="Predicted minus true", title="Residuals")
        _in_plain_numbers(axis.xaxis, axis.yaxis)
        figure.legend(loc="outside lower center", ncols=2)

    label = f"Residuals against predicted values of {' and '.join(names[model] for model in lines)}."
    return svg("residuals", label, (HALF, 3.7), draw)


def _dots(axis: Axes, xs: Sequence[float], ys: Sequence[float], model: str, name: str) -> None:
    style: dict[str, Any] = {"marker": MARKS[model], "markersize": 4, "alpha": 0.6, "markeredgewidth": 0}
    # The joint model comes first in the legend and lies on top.
    order = 3 if model == "joint" else 2
    axis.plot(xs, ys, color=COLOURS[model], label=name, linestyle="none", zorder=order, **style)


def _in_plain_numbers(*sides: Axis) -> None:
    """200,000 in place of 0.2 and a 1e6 at the end of the axis; small numbers keep their decimals."""
    for side in sides:
        # Numbers beside each other along the horizontal axis need more room than numbers above each other.
        side.set_major_locator(MaxNLocator(5 if isinstance(side, XAxis) else 6))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}".replace("-", "−")))
