"""How far colours are apart, for all eyes and for those that lack a kind of cones."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.colors import to_rgb

# the eye's cones without one kind, linear RGB; Machado, Oliveira and Fernandes 2009
SEEN = {
    "all": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [
        [0.3673, 0.8606, -0.2280],
        [0.2801, 0.6725, 0.0474],
        [-0.0118, 0.0429, 0.9689],
    ],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def distances(colours: Mapping[str, str], sight: str) -> dict[tuple[str, str], float]:
    """Of each pair in CIELAB, as `sight` of SEEN has it: 2 is just noticeable side by side."""
    seen = {
        name: lab(np.clip(SEEN[sight] @ linear(colour), 0, 1)) for name, colour in colours.items()
    }
    pairs = itertools.combinations(seen.items(), 2)
    return {(a, b): round(float(np.linalg.norm(one - other)), 1) for (a, one), (b, other) in pairs}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Linear RGB, through XYZ under D65, to L*a*b* (CIE 15:2004)."""
    mixed = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ rgb
    )
    x, y, z = np.cbrt(mixed / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
