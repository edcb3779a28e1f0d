"""The report of a run: one page that a manager and a data-protection officer can open, with nothing to load.

`render_report` draws the plots and fills the page; the run folder writes it. The page's own security policy forbids it to load
anything, and every name in it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from parties.report.content import ReportContent, SplitScores
from parties.report.figures import loss_figure, record_figure, result_figures, traffic_figure
from parties.report.html import html_template
from parties.report.words import (
    METRIC_NAMES,
    capitalised,
    estimate_text,
    interval_text,
    score_text,
    time_text,
)
from vsplit import measured
from vsplit.evaluation.metrics import HIGHER_IS_BETTER, MAIN_METRIC, Estimates, in_order


def render_report(content: ReportContent) -> str:
    """The page as HTML text: the same text for the same content. Raises ValueError where a time is not ISO 8601."""
    started, ended = datetime.fromisoformat(content.started), datetime.fromisoformat(content.ended)
    names = {"joint": "Together", "alone": f"{capitalised(content.party)} alone"}
    splits = [("Test", content.test), ("Validation", content.validation)]
    return html_template(Path(__file__).with_name("report.html.j2")).render(
        content=content,
        measured=measured,
        started=time_text(started),
        ended=time_text(ended),
        took=(ended - started).total_seconds(),
        names=names,
        headline=_headline(content),
        verdict=_verdict(content),
        tables=[(title, scores.comparison, list(_metric_rows(scores))) for title, scores in splits if scores],
        metrics=[(metric, METRIC_NAMES[metric]) for metric in _shown_metrics(content)],
        result_plots=result_figures(content, names),
        record_plot=record_figure(content),
        loss_plot=loss_figure(content.training),
        traffic_plot=traffic_figure(content.traffic),
    )


def _headline(content: ReportContent) -> list[str]:
    """The result on the test records in a few plain sentences; none at a feature party.

    They name the task's main metric, or the first one that the records define.
    """
    if content.test is None:
        return []
    comparison, metric = content.test.comparison, _named_metric(content)
    joint = comparison["joint"][metric]
    if joint is None:
        return []
    sentences = [f"Together: {METRIC_NAMES[metric]} {estimate_text(joint, metric)}."]
    alone, gain = comparison.get("alone", {}).get(metric), comparison.get("difference", {}).get(metric)
    if alone and gain:
        word = "Gain" if HIGHER_IS_BETTER[metric] else "Difference"
        sentences.append(f"{capitalised(content.party)} alone: {estimate_text(alone, metric)}.")
        sentences.append(f"{word} {estimate_text(gain, metric)}.")
    return sentences


def _named_metric(content: ReportContent) -> str:
    joint: Estimates = content.test.comparison["joint"] if content.test else {}
    main = MAIN_METRIC[content.task]
    return main if joint.get(main) else next((metric for metric, found in joint.items() if found), main)


def _verdict(content: ReportContent) -> str | None:
    metric = _named_metric(content)
    gain = content.test.comparison.get("difference", {}).get(metric) if content.test else None
    if gain is None:
        return None
    better = gain["low"] > 0 if HIGHER_IS_BETTER[metric] else gain["high"] < 0
    worse = gain["high"] < 0 if HIGHER_IS_BETTER[metric] else gain["low"] > 0
    if better:
        return "The whole interval of the difference is on the better side: on these test records, joining helped."
    if worse:
        return "The whole interval of the difference is on the worse side: on these test records, joining did harm."
    return "The interval of the difference includes zero: these test records do not show that joining helps."


def _metric_rows(scores: SplitScores) -> Iterator[dict[str, str]]:
    """For each metric its name, direction, and the texts of joint, alone and difference with their intervals."""
    comparison = scores.comparison
    parts: dict[str, Estimates] = {"joint": comparison["joint"]}
    if "alone" in comparison and "difference" in comparison:
        parts |= {"alone": comparison["alone"], "difference": comparison["difference"]}
    for metric in in_order(comparison["joint"]):
        row = {"name": METRIC_NAMES[metric], "better": "higher" if HIGHER_IS_BETTER[metric] else "lower"}
        for part, estimates in parts.items():
            estimate, signed = estimates[metric], part == "difference"
            row[part] = score_text(estimate["value"], metric, signed=signed) if estimate else "not defined"
            row[f"{part}_interval"] = interval_text(estimate, metric, signed=signed) if estimate else ""
        yield row


def _shown_metrics(content: ReportContent) -> list[str]:
    scores = content.test or content.validation
    return in_order(scores.comparison["joint"]) if scores else []
