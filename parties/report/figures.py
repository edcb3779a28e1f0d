"""Which plots a report has, from its content, and what is written under them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from parties.report import result_plots, run_plots
from parties.report.content import Crossing, ReportContent, Training
from parties.report.words import METRIC_NAMES, bytes_text
from vsplit.evaluation.curves import Curves
from vsplit.evaluation.metrics import HIGHER_IS_BETTER, Estimates, in_order

Figure = tuple[Markup, str, bool]  # The figure, its caption, and whether it takes the whole width.


def result_figures(content: ReportContent, names: Mapping[str, str]) -> list[Figure]:
    """The figures on the test records; none at a feature party."""
    if content.test is None:
        return []
    comparison = content.test.comparison
    found = list(_curve_plots(content.test.curves or Curves(), names))
    panels = _panels(comparison["joint"])
    if panels:
        estimates = {"joint": comparison["joint"]} | ({"alone": comparison["alone"]} if "alone" in comparison else {})
        # Beside a half plot that is left over it fills the row; otherwise it takes a row of its own.
        fills = sum(not wide for _, _, wide in found) % 2 == 1
        caption = "Points with 95% intervals, on the test records."
        found.append((result_plots.comparison(estimates, names, panels, wide=not fills), caption, not fills))
    return found


def _curve_plots(curves: Curves, names: Mapping[str, str]) -> Iterator[Figure]:
    if "roc" in curves:
        yield result_plots.roc(curves["roc"], names), "The further towards the upper left, the better.", False
    if "precision_recall" in curves:
        caption = (
            "Of the records predicted positive, how many really are (precision); of the positive records, how many are found "
            "(recall)."
        )
        yield result_plots.precision_recall(curves["precision_recall"], names, curves["positive_share"]), caption, False
    if "calibration" in curves:
        caption = "On the dotted line a probability means what it says. Points with few records scatter."
        yield result_plots.calibration(curves["calibration"], names), caption, False
    if "confusion" in curves:
        caption = "Counts of test records. The darker, the larger the share of the true class; right is the diagonal."
        yield (
            result_plots.confusion(curves["classes"], curves["confusion"], names),
            caption,
            len(curves["confusion"]) > 1,
        )
    if "predictions" in curves:
        caption = "Each point is one test record, without its key: show this page only to those who may see outcomes."
        yield result_plots.predicted(curves["predictions"], names), caption, False
        caption = "The same records. Errors with a pattern show what a model misses."
        yield result_plots.residuals(curves["predictions"], names), caption, False


def _panels(joint: Estimates) -> dict[str, list[tuple[str, str]]]:
    panels: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for metric in in_order(joint):
        if joint[metric]:
            title = "Higher is better" if HIGHER_IS_BETTER[metric] else "Lower is better"
            panels[title].append((metric, METRIC_NAMES[metric]))
    return dict(panels)


def record_figure(content: ReportContent) -> Markup:
    """How many rows there were, were listed and were shared."""
    records = content.records
    bars = [(f"Rows of {content.party}", records.own), (f"In the list of {content.party}", records.listed)]
    others = [party for party in content.parties if party.name != content.party and party.list_size is not None]
    bars += [(f"In the list of {party.name}", party.list_size or 0) for party in others]
    parts = [("Training", records.train), ("Validation", records.validation), ("Test", records.test)]
    return run_plots.records(bars, parts)


def loss_figure(training: Training) -> Markup | None:
    """The loss by epoch; None where this party does not know it."""
    epochs = training.epochs
    if all(epoch.train_loss is None and epoch.validation_loss is None for epoch in epochs):
        return None
    return run_plots.losses(
        [epoch.number for epoch in epochs],
        [epoch.train_loss for epoch in epochs],
        [epoch.validation_loss for epoch in epochs],
        training.kept,
    )


def traffic_figure(traffic: Sequence[Crossing]) -> Markup | None:
    """Bytes by kind of message; None where nothing crossed."""
    sizes: dict[str, dict[str, int]] = {}
    for row in traffic:
        totals = sizes.setdefault(row.kind, {"sent": 0, "received": 0})
        totals[row.direction] += row.size
    kinds = [(kind, totals["sent"], totals["received"]) for kind, totals in sizes.items()]
    return run_plots.traffic(kinds, bytes_text) if kinds else None
