"""Draws the demo dataset: paper-cut circles, hexagons, squares, stars and triangles.

    python data/make_shapes.py [FOLDER]

writes `FOLDER/{train,val}/{circle,hexagon,square,star,triangle}/*.jpg` (default: the folder `shapes` beside this script) and overwrites what is there. Each
picture depends on its own name alone, so the same Pillow writes the same bytes every time, in any order. The light always comes from the upper left and
shadows fall to the lower right: a flipped picture can be told from the original.
"""

import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, features

Point = tuple[float, float]
Pixels = NDArray[np.float32]

COUNTS = {
    "train": {"circle": 18, "hexagon": 14, "square": 16, "star": 15, "triangle": 12},
    "val": {"circle": 6, "hexagon": 5, "square": 5, "star": 4, "triangle": 5},
}
SIZES = (
    *((320, 240), (240, 320), (256, 256), (400, 300), (300, 400), (360, 240), (240, 360)),
    *((420, 236), (200, 200), (180, 270), (280, 210), (332, 332), (384, 288), (160, 213)),
)
SUPERSAMPLING = 4
LIGHT = (-0.6, -0.8)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours that go together: two papers for the ground, then inks from dark to light."""

    paper: str
    shade: str
    inks: tuple[str, str, str, str, str]


PALETTES = (
    Palette("#f6ead7", "#ecd3b4", ("#27364f", "#3d6b77", "#d9644a", "#eda35c", "#f7d488")),  # harbour
    Palette("#e9efe6", "#c9dccb", ("#1f4037", "#3f7d5f", "#86b86b", "#e0b94f", "#f5e3a1")),  # meadow
    Palette("#f9e4dd", "#f1c3b8", ("#4a2545", "#94386a", "#d95d78", "#f29479", "#fbd0a4")),  # peony
    Palette("#e4edf3", "#bdd4e3", ("#1b2f52", "#2f5d92", "#4f97b8", "#f0876b", "#fbd9b0")),  # coast
    Palette("#2b3350", "#1d2238", ("#5b3f78", "#b4507d", "#ef7f68", "#f8b76b", "#fdeab5")),  # dusk
    Palette("#f3efe4", "#dcd2bd", ("#3b3a36", "#8a4b38", "#c4793f", "#5f8a86", "#e9cf9c")),  # clay
    Palette("#efe6f4", "#d4c2e4", ("#2f2658", "#5a4a9c", "#9377c8", "#ee8aa4", "#fbd2c0")),  # iris
    Palette("#1f4a4f", "#143237", ("#0f6a6b", "#35a08d", "#f0a04b", "#f3c969", "#f8efd0")),  # lagoon
)


def draw_picture(shape: str, seed: str) -> Image.Image:
    """Draws one picture.

    Args:
        shape: a key of `OUTLINES`.
        seed: settles everything else: size, palette, place, turn, style.
    """
    rng = random.Random(seed)  # noqa: S311  pictures, not secrets
    size = rng.choice(SIZES)
    palette = rng.choice(PALETTES)
    canvas = Canvas(size, gradient(size, rng.uniform(0.7, 1.2), palette.paper, palette.shade))
    rng.choice((strew_marks, strew_marks, draw_arcs, draw_hills, draw_dots))(canvas, palette, rng)
    radius = min(size) * rng.uniform(0.34, 0.43)
    slack = [max(0.0, side / 2 - 1.14 * radius) for side in size]
    centre = (size[0] / 2 + rng.uniform(-0.9, 0.9) * slack[0], size[1] / 2 + rng.uniform(-0.9, 0.9) * slack[1])
    figure = Figure(shape, centre, radius, rng.uniform(0, math.tau))
    rng.choice((fill_layers, fill_facets, fill_window, fill_ripples, fill_bands))(canvas, figure, palette, rng)
    canvas.grain(rng)
    return canvas.image()


# Geometry


def circle() -> list[Point]:
    """Gives the unit circle as a polygon fine enough to look round."""
    return ring([1.0] * 180)


def hexagon() -> list[Point]:
    """Gives a regular hexagon inside the unit circle."""
    return ring([1.0] * 6)


def square() -> list[Point]:
    """Gives a square inside the unit circle."""
    return ring([1.0] * 4)


def star() -> list[Point]:
    """Gives a five-pointed star, a little larger than the unit circle so that it looks as heavy as the others."""
    return ring([1.12, 0.56] * 5)


def triangle() -> list[Point]:
    """Gives an equilateral triangle, a little larger than the unit circle for the same reason."""
    return ring([1.12] * 3)


OUTLINES: dict[str, Callable[[], list[Point]]] = {"circle": circle, "hexagon": hexagon, "square": square, "star": star, "triangle": triangle}


def ring(radii: Sequence[float]) -> list[Point]:
    """Places points at equal angles around the origin, each at its own distance."""
    return [(r * math.cos(math.tau * i / len(radii)), r * math.sin(math.tau * i / len(radii))) for i, r in enumerate(radii)]


def round_corners(points: Sequence[Point], share: float) -> list[Point]:
    """Replaces each corner by a quadratic Bezier curve that begins `share` of an edge before it and ends as far behind."""
    rounded = []
    for i, corner in enumerate(points):
        start, end = between(corner, points[i - 1], share), between(corner, points[(i + 1) % len(points)], share)
        rounded += [between(between(start, corner, t / 8), between(corner, end, t / 8), t / 8) for t in range(9)]
    return rounded


def between(a: Point, b: Point, t: float) -> Point:
    """Gives the point that lies the share `t` of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)


@dataclass(frozen=True, slots=True)
class Figure:
    """A shape at its place on the canvas; lengths in pixels, the turn in radians."""

    shape: str
    centre: Point
    radius: float
    turn: float

    def corners(self, scale: float = 1.0, shift: Point = (0.0, 0.0), twist: float = 0.0) -> list[Point]:
        """Gives the sharp outline, scaled about the centre, moved by a share of the radius, turned further."""
        return self._place(OUTLINES[self.shape](), scale, shift, twist)

    def outline(self, scale: float = 1.0, shift: Point = (0.0, 0.0), twist: float = 0.0) -> list[Point]:
        """Gives the same outline with softened corners."""
        points = OUTLINES[self.shape]()
        return self._place(points if self.shape == "circle" else round_corners(points, 0.1), scale, shift, twist)

    def _place(self, points: list[Point], scale: float, shift: Point, twist: float) -> list[Point]:
        reach, cos, sin = self.radius * scale, math.cos(self.turn + twist), math.sin(self.turn + twist)
        left, top = self.centre[0] + shift[0] * self.radius, self.centre[1] + shift[1] * self.radius
        return [(left + reach * (x * cos - y * sin), top + reach * (x * sin + y * cos)) for x, y in points]


# Painting. Arrays only see +, -, *, / and clipping, which give the same floats on every processor.


def ink(colour: str) -> Pixels:
    """Reads `#rrggbb` as three floats in [0, 255]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)


def mix(a: str, b: str, t: float) -> Pixels:
    """Gives the colour that lies the share `t` of the way from a to b."""
    return ink(a) + (ink(b) - ink(a)) * np.float32(t)


def gradient(size: tuple[int, int], angle: float, start: str | Pixels, end: str | Pixels) -> Pixels:
    """Fills a canvas with a linear gradient along `angle` (radians, clockwise from the x axis), from corner to corner."""
    first, last = (ink(each) if isinstance(each, str) else each for each in (start, end))
    cos, sin = np.float32(round(math.cos(angle), 6)), np.float32(round(math.sin(angle), 6))
    along = np.arange(size[0], dtype=np.float32)[None, :] * cos + np.arange(size[1], dtype=np.float32)[:, None] * sin
    share: Pixels = (along - along.min()) / (along.max() - along.min())
    return first + (last - first) * share[:, :, None]


def coverage(size: tuple[int, int], *polygons: Sequence[Point]) -> Pixels:
    """Gives the share of each pixel that polygons cover, smooth at the edges by supersampling; shape [height, width]."""
    fine = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    pen = ImageDraw.Draw(fine)
    for polygon in polygons:
        pen.polygon([(round(x * SUPERSAMPLING), round(y * SUPERSAMPLING)) for x, y in polygon], fill=255)
    return np.asarray(fine.reduce(SUPERSAMPLING), np.float32) / np.float32(255)


def soften(mask: Pixels, radius: float) -> Pixels:
    """Blurs a coverage mask."""
    blurred = Image.fromarray((mask * 255 + 0.5).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, np.float32) / np.float32(255)


def moved(mask: Pixels, right: int, down: int) -> Pixels:
    """Shifts a mask, repeating its border."""
    padded = np.pad(mask, ((abs(down),) * 2, (abs(right),) * 2), mode="edge")
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + mask.shape[0], left : left + mask.shape[1]]


class Canvas:
    """A picture in the making: float pixels [height, width, 3] that layers are painted on."""

    def __init__(self, size: tuple[int, int], ground: Pixels) -> None:
        self.size = size
        self.pixels = np.broadcast_to(ground, (size[1], size[0], 3)).astype(np.float32)

    def paint(self, mask: Pixels, colour: Pixels, opacity: float = 1.0) -> None:
        """Lays a colour, or another canvas's pixels, over what is there."""
        self.pixels += (colour - self.pixels) * (mask * np.float32(opacity))[:, :, None]

    def shadow(self, mask: Pixels, distance: float, strength: float) -> None:
        """Darkens what lies under a sheet of this form that floats `distance` pixels above."""
        fallen = soften(moved(mask, round(-LIGHT[0] * distance), round(-LIGHT[1] * distance)), distance * 0.8)
        self.pixels *= 1 - fallen[:, :, None] * np.array([strength, strength * 0.94, strength * 0.82], np.float32)

    def sheet(self, mask: Pixels, colour: Pixels, distance: float, strength: float = 0.42) -> None:
        """Lays a sheet of paper down: its shadow, its face, the lit rim."""
        self.shadow(mask, distance, strength)
        self.paint(mask, colour)
        self.paint(np.clip(mask - moved(mask, 1, 1), 0, 1), ink("#fffaf0"), 0.35)

    def grain(self, rng: random.Random) -> None:
        """Gives everything the mottling of paper, coarse and fine, and slightly darker edges."""
        for cell, strength in ((2, 5.0), (40, 7.0)):
            small = (self.size[0] // cell + 2, self.size[1] // cell + 2)
            noise = Image.frombytes("L", small, rng.randbytes(small[0] * small[1])).resize(self.size, Image.Resampling.BICUBIC)
            self.pixels += (np.asarray(noise, np.float32)[:, :, None] / 255 - 0.5) * np.float32(strength)
        across, down = (np.linspace(-1, 1, side, dtype=np.float32) for side in self.size)
        self.pixels *= 1 - 0.07 * (across[None, :] * across[None, :] + down[:, None] * down[:, None])[:, :, None]

    def image(self) -> Image.Image:
        """Rounds to an 8-bit RGB image."""
        return Image.fromarray(np.clip(self.pixels + 0.5, 0, 255).astype(np.uint8))


# Grounds: what lies behind the figure


def strew_marks(canvas: Canvas, palette: Palette, rng: random.Random) -> None:
    """Strews small strokes, dots and rings, no two too close."""
    width, height = canvas.size
    unit = min(width, height) / 100
    for x, y in scatter(rng, canvas.size, 15 * unit):
        kind, turn, colour = rng.choice("-.o+"), rng.uniform(0, math.pi), ink(rng.choice(palette.inks[1:]))
        canvas.paint(mark(canvas.size, kind, (x, y), unit, turn), colour, 0.75)


def mark(size: tuple[int, int], kind: str, at: Point, unit: float, turn: float) -> Pixels:
    """Gives the coverage of one small mark: a stroke, a dot, a ring or a cross."""
    if kind == ".":
        return coverage(size, disc(at, 1.6 * unit))
    if kind == "o":
        return coverage(size, disc(at, 2.6 * unit)) - coverage(size, disc(at, 1.7 * unit))
    turns = (turn,) if kind == "-" else (turn, turn + math.pi / 2)
    return coverage(size, *(bar(at, (4.2 if kind == "-" else 2.8) * unit, 0.75 * unit, each) for each in turns))


def draw_arcs(canvas: Canvas, palette: Palette, rng: random.Random) -> None:
    """Draws a fan of wide arcs around a corner."""
    width, height = canvas.size
    corner = (rng.choice((0, width)), rng.choice((0, height)))
    reach, steps = max(width, height) * rng.uniform(0.6, 0.95), rng.randint(4, 6)
    near, far = rng.sample(palette.inks[1:], 2)
    for i in range(steps, 0, -1):
        face = mix(near, far, i / steps) if i % 2 else ink(palette.paper)
        canvas.paint(coverage(canvas.size, disc(corner, reach * i / steps)), face, 0.45)


def draw_hills(canvas: Canvas, palette: Palette, rng: random.Random) -> None:
    """Lays two or three wavy sheets across the lower half."""
    width, height = canvas.size
    count = rng.randint(2, 3)
    for i in range(count):
        face = mix(palette.shade, palette.inks[rng.randint(1, 3)], 0.28 + 0.14 * i)
        canvas.sheet(coverage(canvas.size, wave(rng, width, height, height * (0.5 + 0.17 * i))), face, min(width, height) * 0.018, 0.25)


def draw_dots(canvas: Canvas, palette: Palette, rng: random.Random) -> None:
    """Prints a halftone that grows from one side to the other."""
    width, height = canvas.size
    gap, colour = min(width, height) / rng.uniform(9, 13), mix(palette.shade, rng.choice(palette.inks), 0.45)
    angle = rng.uniform(0, math.tau)
    cos, sin = math.cos(angle), math.sin(angle)
    dots = []
    for row in range(-1, int(height / gap) + 2):
        for column in range(-1, int(width / gap) + 2):
            x, y = (column + 0.5 * (row % 2)) * gap, row * gap
            grown = 0.5 + ((x / width - 0.5) * cos + (y / height - 0.5) * sin) * 0.8
            dots.append(disc((x, y), gap * 0.36 * max(0.05, grown)))
    canvas.paint(coverage(canvas.size, *dots), colour, 0.8)


def scatter(rng: random.Random, size: tuple[int, int], gap: float) -> Iterator[Point]:
    """Throws points onto the canvas and keeps those at least `gap` from each other."""
    kept: list[Point] = []
    for _ in range(160):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        if all((x - a) * (x - a) + (y - b) * (y - b) >= gap * gap for a, b in kept):
            kept.append((x, y))
            yield x, y


def disc(centre: Point, radius: float) -> list[Point]:
    """Gives a circle in pixels as a polygon."""
    return [(centre[0] + radius * x, centre[1] + radius * y) for x, y in ring([1.0] * 96)]


def bar(centre: Point, half: float, thickness: float, turn: float) -> list[Point]:
    """Gives a straight stroke in pixels as a polygon; `half` its length to either side."""
    cos, sin = math.cos(turn), math.sin(turn)
    corners = ((-half, -thickness), (half, -thickness), (half, thickness), (-half, thickness))
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in corners]


def wave(rng: random.Random, width: int, height: int, level: float) -> list[Point]:
    """Gives the area below a wavy line in pixels as a polygon."""
    swing, length, phase = height * rng.uniform(0.04, 0.09), width * rng.uniform(0.6, 1.1), rng.uniform(0, math.tau)
    crest = [(x, level + swing * math.sin(phase + math.tau * x / length)) for x in range(-4, width + 8, 4)]
    return [*crest, (width + 8, height + 8), (-8, height + 8)]


# Figures: what the picture is of


def fill_layers(canvas: Canvas, figure: Figure, palette: Palette, rng: random.Random) -> None:
    """Stacks ever smaller sheets of the same shape, each turned a little further."""
    count, twist = rng.randint(3, 5), rng.choice((-1, 1)) * rng.uniform(0.08, 0.3)
    angle = rng.uniform(0, math.tau)
    shift = (0.075 * math.cos(angle), 0.075 * math.sin(angle))
    colours = palette.inks if rng.random() < 0.5 else palette.inks[::-1]
    for i in range(count):
        place = (1 - 0.85 * i / count, (shift[0] * i, shift[1] * i), twist * i)
        face = gradient(canvas.size, 0.9, mix(colours[i], "#ffffff", 0.12), ink(colours[i]))
        canvas.sheet(coverage(canvas.size, figure.outline(*place)), face, figure.radius * (0.09 if i == 0 else 0.05))


def fill_facets(canvas: Canvas, figure: Figure, palette: Palette, rng: random.Random) -> None:
    """Folds the shape like origami: facets around a point off the centre, each as bright as it faces the light."""
    hub = (figure.centre[0] + rng.uniform(-0.2, 0.2) * figure.radius, figure.centre[1] + rng.uniform(-0.2, 0.2) * figure.radius)
    rim = figure.corners(1.12)
    rim = rim[::15] if figure.shape == "circle" else rim
    if len(rim) < 10:
        rim = [point for i, corner in enumerate(rim) for point in (corner, between(corner, rim[(i + 1) % len(rim)], 0.5))]
    low = rng.randint(0, 2)
    fine = Image.new("RGB", (canvas.size[0] * SUPERSAMPLING, canvas.size[1] * SUPERSAMPLING))
    pen = ImageDraw.Draw(fine)
    for i, (a, b) in enumerate(zip(rim, rim[1:] + rim[:1], strict=True)):
        facing = ((b[1] - a[1]) * LIGHT[0] - (b[0] - a[0]) * LIGHT[1]) / math.dist(a, b)
        bright = min(1.0, max(0.0, 0.5 + 0.4 * facing + (0.1 if i % 2 else -0.1) + rng.uniform(-0.05, 0.05)))
        face = mix(palette.inks[low], palette.inks[low + 2], bright)
        pen.polygon([(round(x * SUPERSAMPLING), round(y * SUPERSAMPLING)) for x, y in (hub, a, b)], fill=tuple(int(each) for each in face))
    canvas.sheet(coverage(canvas.size, figure.outline()), np.asarray(fine.reduce(SUPERSAMPLING), np.float32), figure.radius * 0.1)


def fill_window(canvas: Canvas, figure: Figure, palette: Palette, rng: random.Random) -> None:
    """Cuts the shape out of the paper; behind it, a low sun over hills."""
    size, radius, (x, y) = canvas.size, figure.radius, figure.centre
    scene = Canvas(size, gradient(size, math.pi / 2, palette.inks[3], palette.inks[4]))
    sun = (x + rng.choice((-1, 1)) * rng.uniform(0.2, 0.4) * radius, y - rng.uniform(0.0, 0.25) * radius)
    scene.paint(soften(coverage(size, disc(sun, radius * 0.4)), radius * 0.2), ink("#fff4d6"), 0.5)
    scene.paint(coverage(size, disc(sun, radius * 0.25)), mix(palette.inks[4], "#ffffff", 0.55))
    for i, dark in enumerate((2, 1, 0)):
        hill = wave(rng, size[0], round(radius * 1.6), y + radius * (0.05 + 0.25 * i))
        scene.sheet(coverage(size, [*hill[:-2], (size[0] + 8, size[1] + 8), (-8, size[1] + 8)]), ink(palette.inks[dark]), radius * 0.04, 0.22)
    mask = coverage(size, figure.outline())
    scene.shadow(1 - mask, radius * 0.1, 0.5)
    border = coverage(size, figure.outline(1.1))
    canvas.sheet(border, mix(palette.inks[4], "#ffffff", 0.6), radius * 0.06)
    canvas.paint(mask, scene.pixels)


def fill_ripples(canvas: Canvas, figure: Figure, palette: Palette, rng: random.Random) -> None:
    """Colours the shape with rings around a point near its rim, like a cut agate."""
    angle, count = rng.uniform(0, math.tau), rng.randint(5, 8)
    middle = (figure.centre[0] + 0.55 * figure.radius * math.cos(angle), figure.centre[1] + 0.55 * figure.radius * math.sin(angle))
    colours = rng.sample(palette.inks, 4)
    stone = Canvas(canvas.size, ink(colours[0]))
    reach = figure.radius * 1.7
    for i in range(count, 0, -1):
        stone.sheet(coverage(canvas.size, disc(middle, reach * i / (count + 0.5))), ink(colours[i % 4]), figure.radius * 0.03, 0.25)
    canvas.sheet(coverage(canvas.size, figure.outline()), stone.pixels, figure.radius * 0.1)


def fill_bands(canvas: Canvas, figure: Figure, palette: Palette, rng: random.Random) -> None:
    """Weaves slanting ribbons of uneven width through the shape."""
    slant, radius = rng.uniform(0.25, 1.2) * rng.choice((-1, 1)), figure.radius
    cos, sin = math.cos(slant), math.sin(slant)
    cloth = Canvas(canvas.size, gradient(canvas.size, 0.9, mix(palette.inks[1], "#ffffff", 0.15), palette.inks[1]))
    offset, colours = -1.2, [palette.inks[i] for i in (4, 2, 3, 0)]
    for i in range(8):
        thickness = rng.uniform(0.05, 0.13)
        offset += thickness + rng.uniform(0.06, 0.2)
        at = (figure.centre[0] - sin * offset * radius, figure.centre[1] + cos * offset * radius)
        cloth.sheet(coverage(canvas.size, bar(at, radius * 1.5, thickness * radius, slant)), ink(colours[i % 4]), radius * 0.03, 0.25)
        offset += thickness
    canvas.sheet(coverage(canvas.size, figure.outline()), cloth.pixels, figure.radius * 0.1)


def write_dataset(folder: Path) -> list[Path]:
    """Writes every picture below a folder and gives their paths, sorted."""
    drawn_with = f"Drawn by Batchlens' data/make_shapes.py with Pillow {features.version('pil')}, libjpeg-turbo {features.version('libjpeg_turbo')}"
    paths = []
    for split, counts in COUNTS.items():
        for shape, count in counts.items():
            (folder / split / shape).mkdir(parents=True, exist_ok=True)
            for number in range(1, count + 1):
                name = f"{split}/{shape}/{shape}-{number:02}.jpg"
                draw_picture(shape, name).save(folder / name, "JPEG", quality=88, subsampling="4:2:0", optimize=True, comment=drawn_with)
                paths.append(folder / name)
    return sorted(paths)


def main() -> None:
    """Runs the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shapes"
    paths = write_dataset(folder)
    print(f"{len(paths)} pictures, {sum(path.stat().st_size for path in paths) / 1024:.0f} KiB, in {folder}")


if __name__ == "__main__":
    main()
