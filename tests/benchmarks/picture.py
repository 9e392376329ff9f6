"""Cost against quality as an SVG: the rivals with their intervals, and the frontier."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from tests.benchmarks.frontier import Frontier

WIDTH, HEIGHT = 860, 480
LEFT, TOP, RIGHT, BOTTOM = 64, 24, 250, 52  # margins; the legend stands at the right
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#9c755f", "#e15759", "#76b7b2", "#767f8b")
STYLE = (
    "text{font:13px sans-serif;fill:#24292f}.axis{stroke:#57606a}.grid{stroke:#d0d7de}"
    ".frontier{fill:none;stroke:#24292f;stroke-width:1.5}.target{stroke:#cf222e;"
    "stroke-dasharray:5 4}.number{font-size:11px;fill:#fff;text-anchor:middle}"
)


class Span(NamedTuple):
    """A number with its interval."""

    value: float
    lower: float
    upper: float


class Point(NamedTuple):
    """A rival: its cost in mean cloud calls and its quality."""

    name: str
    cost: Span
    quality: Span


class Scale(NamedTuple):
    """Where numbers stand on the picture."""

    cost: tuple[float, float]
    quality: tuple[float, float]

    def x(self, cost: float) -> float:
        """Pixels from the left."""
        low, high = self.cost
        return LEFT + (cost - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, quality: float) -> float:
        """Pixels from the top."""
        low, high = self.quality
        return HEIGHT - BOTTOM - (quality - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def draw(points: Sequence[Point], frontier: Frontier, target: float) -> str:
    """The whole picture."""
    seen = [each for point in points for each in (point.quality.lower, point.quality.upper)]
    scale = Scale((0.0, 1.05), (min(seen) - 0.01, max(seen) + 0.01))
    parts = [*_axes(scale), *_lines(scale, frontier, target)]
    for number, point in enumerate(points, 1):
        parts += _point(scale, number, point)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n'
        f"<title>Cost against quality of every rival</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _axes(scale: Scale) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tenth in range(0, 11, 2):
        x = scale.x(tenth / 10)
        yield _line("grid", x, TOP, x, bottom)
        yield _text(x, bottom + 18, f"{tenth / 10:.1f}", "middle")
    low, high = scale.quality
    for percent in range(int(low * 100) + 1, int(high * 100) + 1):
        if percent % 2 == 0:
            y = scale.y(percent / 100)
            yield _line("grid", LEFT, y, right, y)
            yield _text(LEFT - 8, y + 4, f"{percent / 100:.2f}", "end")
    yield _line("axis", LEFT, bottom, right, bottom)
    yield _line("axis", LEFT, TOP, LEFT, bottom)
    yield _text((LEFT + right) / 2, HEIGHT - 12, "cost of a query, in cloud calls", "middle")
    yield _text(LEFT + 6, TOP + 12, "share of right answers", "start")


def _lines(scale: Scale, frontier: Frontier, target: float) -> Iterator[str]:
    ends = zip(frontier.cost.tolist(), frontier.quality.tolist(), strict=True)
    corners = " ".join(f"{scale.x(cost):.1f},{scale.y(quality):.1f}" for cost, quality in ends)
    yield f'<polyline class="frontier" points="{corners}"/>'
    y = scale.y(target)
    yield _line("target", LEFT, y, WIDTH - RIGHT, y)
    key = WIDTH - RIGHT + 20
    yield _line("frontier", key, TOP + 6, key + 22, TOP + 6)
    yield _text(key + 30, TOP + 10, "frontier", "start")
    yield _line("target", key, TOP + 28, key + 22, TOP + 28)
    yield _text(key + 30, TOP + 32, f"target {target:.3f}", "start")


def _point(scale: Scale, number: int, point: Point) -> Iterator[str]:
    colour = COLOURS[(number - 1) % len(COLOURS)]
    x, y = scale.x(point.cost.value), scale.y(point.quality.value)
    stroke = f'stroke="{colour}" stroke-width="1.5"'
    yield _line("", scale.x(point.cost.lower), y, scale.x(point.cost.upper), y, stroke)
    yield _line("", x, scale.y(point.quality.lower), x, scale.y(point.quality.upper), stroke)
    legend = WIDTH - RIGHT + 31, TOP + 44 + 26 * number
    for at, name in (((x, y), ""), (legend, point.name)):
        yield f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="9" fill="{colour}"/>'
        yield f'<text class="number" x="{at[0]:.1f}" y="{at[1] + 4:.1f}">{number}</text>'
        if name:
            yield _text(at[0] + 19, at[1] + 4, name, "start")


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    named = f'class="{kind}"' if kind else more
    return f'<line {named} x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
