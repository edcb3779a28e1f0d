"""How a plot of the report is drawn: colours, style, and one `<svg>` element that is part of a page.

Each plot loads nothing, repeats no id of another plot, and is the same text for the same input. Text stays text, so that the
browser shows names in any script.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from parties.local.text import visible

INK, PALE, JOINT, ALONE = "#27313b", "#c9d1d9", "#0b62a8", "#c8501e"
SHADES = ("#0b62a8", "#6ea6d3", "#b9d3ea")  # training, validation and test
COLOURS = {"joint": JOINT, "alone": ALONE}
MARKS = {"joint": "o", "alone": "s"}  # The two also differ in shape and line style, for print and colour blindness.
DASHES = {"joint": "-", "alone": (0, (4, 2))}

HALF, WIDE = 4.4, 9.0  # Inches; a page has two columns of half plots, at about 1.35 pixels a point.

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # A dollar sign in a name is a dollar sign.
    "font.family": ["sans-serif"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.edgecolor": "#8a949e",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaee",
    "text.color": INK,
    "xtick.color": "#55606b",
    "ytick.color": "#55606b",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def svg(name: str, label: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> Markup:
    """One `<svg>` element of `size` inches; `label` is what a screen reader says, `name` is unique in the page."""
    text = io.StringIO()
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # The reader's own matplotlibrc does not change a report.
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        # The measuring font may lack a script that the browser has.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(visible(_inlined(text.getvalue(), name, label), keep="\n\t"))  # noqa: S704 - matplotlib escaped the text in it


def _inlined(whole: str, name: str, label: str) -> str:
    """The element alone, without what belongs to a file of its own: prolog, metadata, namespaces, a global style."""
    box = re.search(r'viewBox="[^"]*"', whole)
    body = whole[whole.index(">", whole.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style\b.*?</style>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    return f'<svg role="img" aria-label="{escape(label)}" {box.group(0) if box else ""}>{body}'


def shortened(name: str, length: int) -> str:
    """At most `length` characters: the middle is cut, since names of classes often differ in their last ones."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[length // 2 + 1 - length :]}"


def thousands(value: float, _position: int = 0) -> str:
    """12345.0 -> 12,345, in the form that matplotlib asks of a formatter."""
    return f"{value:,.0f}"
