"""A convex polygon cut by half-planes, exactly: whole numbers all the way, fractions only for who reads the result.

The plane is (offset_s, rate_error_ppm). A half-plane is what one bound of one observation leaves of it. Floats will
not do: seconds over years and parts per million differ by ten orders of magnitude, and a linear programme in floats
has been seen to give a vertex for another.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import gcd, lcm
from typing import NamedTuple


class HalfPlane(NamedTuple):
    """All points with x * offset_s + y * rate_error_ppm + c >= 0. The numbers are whole."""

    x: int
    y: int
    c: int

    @classmethod
    def of(cls, x: Fraction, y: Fraction, c: Fraction) -> HalfPlane:
        scale = lcm(x.denominator, y.denominator, c.denominator)
        return cls(int(x * scale), int(y * scale), int(c * scale))


class _Vertex(NamedTuple):
    """The point (x/w, y/w), w > 0, and the edge that begins there, counter-clockwise."""

    x: int
    y: int
    w: int
    edge: HalfPlane


class Point(NamedTuple):
    """Seconds at the reference time, and parts per million."""

    offset_s: Fraction
    rate_error_ppm: Fraction


class Polygon:
    """The intersection of half-planes: a polygon, a segment, a point, or nothing. Immutable.

    Every vertex is the crossing of two of the given lines, so its numbers do not grow however many cuts there were.
    """

    __slots__ = ("_vertices",)

    def __init__(self, vertices: tuple[_Vertex, ...]) -> None:
        """Use `box`, then `cut`."""
        self._vertices = vertices

    @classmethod
    def box(cls, offset_s: tuple[Fraction, Fraction], rate_error_ppm: tuple[Fraction, Fraction]) -> Polygon:
        """The prior: least and greatest of both."""
        one, none = Fraction(1), Fraction(0)
        west = HalfPlane.of(one, none, -offset_s[0])
        east = HalfPlane.of(-one, none, offset_s[1])
        south = HalfPlane.of(none, one, -rate_error_ppm[0])
        north = HalfPlane.of(none, -one, rate_error_ppm[1])
        if offset_s[0] > offset_s[1] or rate_error_ppm[0] > rate_error_ppm[1]:
            return cls(())
        edges = (south, east, north, west)
        return cls(_distinct(tuple(_crossing(edges[i - 1], edges[i], edges[i]) for i in range(4))))

    def cut(self, plane: HalfPlane) -> Polygon:
        """What lies in the half-plane too. O(vertices), of which there are 3 to 5."""
        vertices = self._vertices
        a, b, c = plane
        values = [a * x + b * y + c * w for x, y, w, _ in vertices]
        if not values or min(values) >= 0:
            return self
        kept: list[_Vertex] = []
        for i, vertex in enumerate(vertices):
            following = (i + 1) % len(vertices)
            here, there = values[i], values[following]
            if here > 0 or (here == 0 and there >= 0):
                kept.append(vertex)
            elif here == 0:
                kept.append(vertex._replace(edge=plane))  # the polygon leaves the half-plane here
            if here > 0 > there:
                kept.append(_crossing(vertex.edge, plane, plane))
            elif here < 0 < there:
                kept.append(_crossing(vertex.edge, plane, vertex.edge))
        return Polygon(_distinct(tuple(kept)))

    @property
    def is_empty(self) -> bool:
        return not self._vertices

    @property
    def vertices(self) -> tuple[Point, ...]:
        """Counter-clockwise from the lexicographically least; no duplicate, none between two others on a line."""
        points = [Point(Fraction(v.x, v.w), Fraction(v.y, v.w)) for v in self._vertices]
        corners = _corners(points)
        if not corners:
            return ()
        first = corners.index(min(corners))
        return tuple(corners[first:] + corners[:first])

    def extent(self, x: Fraction, y: Fraction) -> tuple[Fraction, Fraction]:
        """The least and the greatest x * offset_s + y * rate_error_ppm. Raises ValueError if the polygon is empty."""
        plane = HalfPlane.of(x, y, Fraction(0))
        scale = lcm(x.denominator, y.denominator)
        values = [Fraction(plane.x * v.x + plane.y * v.y, v.w * scale) for v in self._vertices]
        return min(values), max(values)

    @property
    def centroid(self) -> Point:
        """The middle: of the area, of a segment, or the point itself. Raises ValueError if the polygon is empty."""
        points = self.vertices
        if not points:
            raise ValueError("nothing has no middle")
        if len(points) < 3:
            first, last = points[0], points[-1]
            return Point((first.offset_s + last.offset_s) / 2, (first.rate_error_ppm + last.rate_error_ppm) / 2)
        area = moment_x = moment_y = Fraction(0)
        ox, oy = points[0]
        for (ax, ay), (bx, by) in pairwise(points[1:]):
            twice = (ax - ox) * (by - oy) - (bx - ox) * (ay - oy)
            area += twice
            moment_x += twice * (ox + ax + bx)
            moment_y += twice * (oy + ay + by)
        return Point(moment_x / (3 * area), moment_y / (3 * area))


def _crossing(one: HalfPlane, other: HalfPlane, edge: HalfPlane) -> _Vertex:
    """Where two lines meet, in smallest whole numbers."""
    x = one.y * other.c - one.c * other.y
    y = one.c * other.x - one.x * other.c
    w = one.x * other.y - one.y * other.x
    common = gcd(x, y, w)
    if w < 0:
        common = -common
    return _Vertex(x // common, y // common, w // common, edge)


def _distinct(vertices: tuple[_Vertex, ...]) -> tuple[_Vertex, ...]:
    """Without repeated neighbours; of those, the last one's edge is the one that leads on."""
    return (
        tuple(
            vertex
            for vertex, following in zip(vertices, (*vertices[1:], *vertices[:1]), strict=True)
            if len(vertices) == 1 or vertex[:3] != following[:3]
        )
        or vertices[-1:]
    )


def _corners(points: list[Point]) -> list[Point]:
    """The points at which the outline turns; the ends, if all lie on a line."""
    unique = list(dict.fromkeys(points))
    if len(unique) < 3:
        return unique
    turning = [
        here
        for before, here, after in zip([unique[-1], *unique[:-1]], unique, [*unique[1:], unique[0]], strict=True)
        if (here[0] - before[0]) * (after[1] - here[1]) != (here[1] - before[1]) * (after[0] - here[0])
    ]
    return turning or [min(unique), max(unique)]
