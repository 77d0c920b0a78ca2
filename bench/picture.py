"""A line chart as SVG, drawn by hand: no library of ours draws, and this is all there is to draw."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Curve = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 760, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 34, 220, 44
_COLOURS = ("#1b6ca8", "#c8553d", "#588b4a", "#8458b3")


def chart(title: str, across: str, upwards: str, curves: Mapping[str, Curve]) -> str:
    """The curves (name -> points) in one picture, both axes from 0; `across` and `upwards` name them."""
    right = max(x for curve in curves.values() for x, _ in curve)
    top = max(y for curve in curves.values() for _, y in curve)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            _text(_LEFT, 18, title, "start", bold=True),
            *_axes(right, top, across, upwards),
            *(
                _curve(number, name, curve, right, top)
                for number, (name, curve) in enumerate(curves.items())
            ),
            "</svg>",
            "",
        ]
    )


def _axes(right: float, top: float, across: str, upwards: str) -> list[str]:
    low = _HEIGHT - _BOTTOM
    parts = [
        _text(_WIDTH - _RIGHT, _HEIGHT - 8, across, "end"),
        _text(4, _TOP - 2, upwards, "start"),
    ]
    for value in _round_values(right):
        x, _ = _place(value, 0, right, top)
        parts.append(_text(x, low + 16, f"{value:,g}", "middle"))
    for value in _round_values(top):
        _, y = _place(0, value, right, top)
        parts.append(f'<path d="M{_LEFT} {y:.0f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:,.0f}", "end"))
    return parts


def _round_values(most: float) -> list[float]:
    """0 and on in round steps, at most six of them."""
    power = 10 ** math.floor(math.log10(most / 5))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= most / 5)
    return [step * number for number in range(int(most / step) + 1)]


def _curve(number: int, name: str, curve: Curve, right: float, top: float) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    points = [_place(x, y, right, top) for x, y in _corners(curve)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    label = _text(_WIDTH - _RIGHT + 34, _TOP + 12 + 18 * number, name, "start")
    y = _TOP + 8 + 18 * number
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<path d="M{_WIDTH - _RIGHT + 10} {y}h18" stroke="{colour}" stroke-width="2"/>{label}'
    )


def _corners(curve: Curve) -> list[tuple[float, float]]:
    """Without the points between two of the same height."""
    inner = zip(curve, curve[1:], curve[2:], strict=False)
    kept = [here for before, here, after in inner if not before[1] == here[1] == after[1]]
    return [curve[0], *kept, curve[-1]]


def _place(x: float, y: float, right: float, top: float) -> tuple[float, float]:
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return _LEFT + wide * x / right, _HEIGHT - _BOTTOM - high * y / top


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
