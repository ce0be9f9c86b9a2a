"""The calibration plot: share of customers forecast to order against share that did, as a self-contained SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SIZE, EDGE, WIDE = 360, 44, 560
COLOURS = ("#3b6fb6", "#c8553d", "#4f9d69", "#8e6bbf", "#c79a2b", "#5aa9a9", "#888888")


def calibration_svg(rows: Sequence[Mapping[str, Any]], first: str = "") -> str:
    """Return the plot of the table `calibration`; the model `first` is drawn on top with a thicker line."""
    names = sorted({row["model"] for row in rows}, key=lambda name: (name == first, name))
    drawn = [_axes()]
    for number, name in enumerate(reversed(names)):
        points = [(row["promised"], row["came"], row) for row in sorted(rows, key=_tenth) if row["model"] == name]
        drawn.insert(1, _line(points, COLOURS[number % len(COLOURS)], is_first=name == first))
        drawn.append(_label(name, number, COLOURS[number % len(COLOURS)]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {SIZE + EDGE}" width="{WIDE}" '
        f'font-family="sans-serif" font-size="12">{"".join(drawn)}</svg>'
    )


def _tenth(row: Mapping[str, Any]) -> int:
    return int(row["tenth"])


def _x(share: float) -> str:
    return f"{EDGE + share * (SIZE - EDGE):.1f}"


def _y(share: float) -> str:
    return f"{SIZE - share * (SIZE - EDGE / 2):.1f}"


def _axes() -> str:
    ticks = "".join(
        f'<line x1="{_x(share)}" y1="{_y(0)}" x2="{_x(share)}" y2="{_y(1)}" stroke="#ddd"/>'
        f'<line x1="{_x(0)}" y1="{_y(share)}" x2="{_x(1)}" y2="{_y(share)}" stroke="#ddd"/>'
        f'<text x="{_x(share)}" y="{SIZE + 16}" text-anchor="middle" fill="#555">{share:.0%}</text>'
        f'<text x="{EDGE - 6}" y="{_y(share)}" text-anchor="end" dy="4" fill="#555">{share:.0%}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<rect width="{WIDE}" height="{SIZE + EDGE}" fill="#fff"/>{ticks}'
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#555" stroke-dasharray="4 4"/>'
        f'<text x="{_x(0.5)}" y="{SIZE + 36}" text-anchor="middle">share forecast to order</text>'
        f'<text x="{EDGE}" y="12" text-anchor="start">share that ordered</text>'
    )


def _line(points: Sequence[tuple[float, float, Mapping[str, Any]]], colour: str, *, is_first: bool) -> str:
    path = " ".join(f"{_x(promised)},{_y(came)}" for promised, came, _ in points)
    wide, faint = ("2.5", "1") if is_first else ("1.2", "0.7")
    dots = "".join(
        f'<circle cx="{_x(promised)}" cy="{_y(came)}" r="{3 if is_first else 2}" fill="{colour}"/>'
        f'<line x1="{_x(promised)}" y1="{_y(row["came_low"])}" x2="{_x(promised)}" y2="{_y(row["came_high"])}" '
        f'stroke="{colour}" stroke-width="{wide if is_first else 0}"/>'
        for promised, came, row in points
    )
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>'
    return f'<g opacity="{faint}">{line}{dots}</g>'


def _label(name: str, number: int, colour: str) -> str:
    top = EDGE + 20 * number
    return (
        f'<rect x="{SIZE + 24}" y="{top - 9}" width="12" height="12" fill="{colour}"/>'
        f'<text x="{SIZE + 44}" y="{top + 1}">{escape(name)}</text>'
    )
