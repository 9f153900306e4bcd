"""Results as a picture: SVG by hand, since its colours then follow the reader's light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from tests.benchmarks.comparison import OWN

if TYPE_CHECKING:
    from tests.benchmarks.comparison import Row
    from tests.benchmarks.results import Results
    from tests.benchmarks.spread import Spread

_WIDTH = 900
_NAMES = 330
_BAR = 34
_PANEL = 230
_COLOURS = ("a", "b", "c", "d")
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 14px } .small { font-size: 11px; fill: #59636e }
.a { fill: #0969da; stroke: #0969da } .b { fill: #bc4c00; stroke: #bc4c00 } .c { fill: #1a7f37; stroke: #1a7f37 } .d { fill: #8250df; stroke: #8250df }
.other { fill: #8c959f } polyline.line { fill: none; stroke-width: 2 } rect.bar { stroke: none } .axis { stroke: #d1d9e0 } .range { stroke: #1f2328 }
.first { opacity: .45 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .other { fill: #656c76 } .axis { stroke: #3d444d } .range { stroke: #f0f6fc }
  .a { fill: #4493f8; stroke: #4493f8 } .b { fill: #db6d28; stroke: #db6d28 } .c { fill: #3fb950; stroke: #3fb950 } .d { fill: #ab7df8; stroke: #ab7df8 }
}
"""

Series = dict[str, list[tuple[float, float]]]


def draw(results: Results) -> str:
    """Draws what was measured of: loaders side by side, images a second by clients, plan time by size.

    Returns:
        an SVG document; empty text where none of these was measured.
    """
    parts, top = [], 0
    if results.comparison:
        rows = sorted(results.comparison.rows, key=lambda row: -row.steady.median)
        parts.append(_bars(rows))
        top += 70 + _BAR * len(rows)
    panels = [each for each in (_by_clients(results), _by_size(results)) if each]
    if panels:
        parts += [f'<g transform="translate({number * _WIDTH // 2},{top})">{panel}</g>' for number, panel in enumerate(panels)]
        top += _PANEL + 80
    if not parts:
        return ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" role="img"><style>{_STYLE}</style>'
    return "\n".join([head, *parts, "</svg>\n"])


def _bars(rows: Sequence[Row]) -> str:
    """Two bars a loader: steady above, first epoch below and paler, each with its range."""
    scale = (_WIDTH - _NAMES - 90) / max(row.steady.high for row in rows)
    drawn = [_text(0, 20, "Images/s at the consumer, batches of 64; paler: first epoch; thin line: range of the runs", "title")]
    for number, row in enumerate(rows):
        is_own = row.name.startswith(OWN)
        y, kind = 36 + _BAR * number, "a" if is_own else "other"
        label = f"{row.name.replace(OWN, 'Batchlens')}, {row.settings}" if is_own else row.name
        drawn += [
            _text(_NAMES - 10, y + 15, label, anchor="end"),
            _bar(y + 2, 14, row.steady, scale, kind),
            _bar(y + 17, 7, row.first, scale, f"{kind} first"),
            _text(_NAMES + row.steady.high * scale + 8, y + 14, f"{row.steady.median:,.0f}"),
        ]
    return "\n".join(drawn)


def _bar(y: float, height: float, spread: Spread, scale: float, kind: str) -> str:
    middle = y + height / 2
    bar = f'<rect class="{kind} bar" x="{_NAMES}" y="{y}" width="{spread.median * scale:.1f}" height="{height}" rx="2"/>'
    return bar + _line(_NAMES + spread.low * scale, middle, _NAMES + spread.high * scale, middle, "range")


def _by_clients(results: Results) -> str:
    lines: Series = {}
    for row in results.throughput or ():
        case = row.case
        if case.batch_size == 64:
            kind = "one stream" if case.is_shared else "own streams"
            if not case.is_cold:
                lines.setdefault(f"{kind}, {case.workers} workers".replace("1 workers", "1 worker"), []).append((case.clients, row.rate.median))
    return _panel("Images/s over all clients, by number of clients", lines, str, lambda value: f"{value:,.0f}") if lines else ""


def _by_size(results: Results) -> str:
    points = [(math.log10(row.size), row.seconds.median * 1e6) for row in results.plans or ()]
    return _panel("Time to plan a batch in us, by samples in the split", {"": points}, lambda x: f"10^{x:.0f}", lambda y: f"{y:.0f}") if points else ""


def _panel(title: str, lines: Series, name_x: Callable[[float], str], name_y: Callable[[float], str]) -> str:
    """Draws lines over a common axis that begins at 0; points are at equal distances."""
    ticks = sorted({x for points in lines.values() for x, _ in points})
    largest = max(y for points in lines.values() for _, y in points)
    left, right, top, bottom = 60, _WIDTH // 2 - 30, 36, _PANEL

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * ticks.index(x) / max(1, len(ticks) - 1), bottom - (bottom - top) * y / largest

    drawn = [_text(0, 20, title, "title")]
    for share in (0, 0.5, 1):
        y = bottom - (bottom - top) * share
        drawn += [_line(left, y, right, y, "axis"), _text(left - 8, y + 4, name_y(largest * share), "small", anchor="end")]
    drawn += [_text(place(x, 0)[0], bottom + 18, name_x(x), "small", anchor="middle") for x in ticks]
    for number, (name, points) in enumerate(lines.items()):
        colour, spots = _COLOURS[number % len(_COLOURS)], [place(*point) for point in sorted(points)]
        drawn.append(f'<polyline class="{colour} line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>')
        drawn += [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots]
        if name:
            x, y = left + (number % 2) * 170, bottom + 40 + (number // 2) * 18
            drawn += [f'<circle class="{colour}" cx="{x}" cy="{y - 4}" r="4"/>', _text(x + 10, y, name, "small")]
    return "\n".join(drawn)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
