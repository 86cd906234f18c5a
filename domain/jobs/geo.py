"""Distances on the globe, and the cells of a longitude-latitude grid that a circle touches."""

from collections.abc import Sequence
from math import asin, cos, degrees, floor, radians, sin, sqrt

EARTH_RADIUS_KM = 6378.1  # MongoDB manual, "Calculate distances using spherical geometry"

CELL_SIZES = (1, 10, 60)  # degrees; each divides 360
MAX_CELLS = 16
MARGIN = 1e-6  # degrees; covers rounding errors, which could lose a cell

Point = Sequence[float]  # longitude, latitude


def distance_km(a: Point, b: Point) -> float:
    """The distance along the surface, in km. Source: the haversine formula."""
    east, north = radians(b[0] - a[0]), radians(b[1] - a[1])
    h = sin(north / 2) ** 2 + cos(radians(a[1])) * cos(radians(b[1])) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))


def cells_of_point(point: Point) -> tuple[str, ...]:
    """The cells that contain a point: one of each size."""
    return tuple(f"{size}:{_column(point[0], size)}:{_row(point[1], size)}" for size in CELL_SIZES)


def cells_of_circle(center: Point, radius_km: float) -> tuple[str, ...]:
    """Cells of one size that cover the circle.

    The size is the smallest one of which MAX_CELLS suffice, or the largest.
    """
    for size in CELL_SIZES:
        cells = _cells(center, degrees(radius_km / EARTH_RADIUS_KM) + MARGIN, size)
        if len(cells) <= MAX_CELLS:
            break
    return cells


def _cells(center: Point, angle: float, size: int) -> tuple[str, ...]:
    """Cells of `size` degrees within `angle` degrees of the center."""
    lon, lat = center
    south, north = max(-90.0, lat - angle), min(90.0, lat + angle)
    spread = 180.0  # a circle around a pole touches every longitude
    if lat - angle > -90 and lat + angle < 90:
        spread = degrees(asin(sin(radians(angle)) / cos(radians(lat)))) + MARGIN
    west, east = floor((lon - spread) / size), floor((lon + spread) / size)
    columns = sorted({_column(column * size, size) for column in range(west, east + 1)})
    rows = range(_row(south, size), _row(north, size) + 1)
    return tuple(f"{size}:{column}:{row}" for column in columns for row in rows)


def _column(lon: float, size: int) -> int:
    return floor(lon / size) % (360 // size)


def _row(lat: float, size: int) -> int:
    return floor(lat / size)
