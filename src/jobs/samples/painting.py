"""Paints landscapes at an hour of a day, and lets pictures melt into each other, with Pillow.

Pillow is imported when it is needed, in the process that paints: an application that only enqueues, and a worker whose
jobs do not paint, work without it.
"""

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType

SIZE = WIDTH, HEIGHT = 320, 180

Color = tuple[int, int, int]

#: The sky above and at the horizon, and how light the land is, by the hour.
_SKIES: tuple[tuple[float, Color, Color, float], ...] = (
    (5, (24, 30, 72), (120, 84, 110), 0.25),
    (7, (92, 140, 205), (255, 190, 140), 0.7),
    (12, (64, 140, 235), (190, 225, 250), 1.0),
    (18, (80, 96, 180), (255, 150, 90), 0.65),
    (21, (8, 12, 40), (40, 36, 80), 0.2),
)
_HILLS: tuple[tuple[float, Color], ...] = (
    (0.55, (96, 128, 110)),
    (0.68, (64, 104, 72)),
    (0.82, (38, 76, 44)),
)
_SUN, _MOON, _DARK = (255, 236, 170), (235, 235, 215), (0, 0, 12)
#: Pictures between two scenes, and how long each is shown, in seconds.
_BETWEEN, _SHOWN = 7, 0.08


class PillowMissing(Exception):
    """Raised where Pillow is not installed: no other attempt of this worker's can paint."""


def _pillow() -> ModuleType:
    try:
        import PIL  # noqa: PLC0415 - see above
        import PIL.Image  # noqa: PLC0415
        import PIL.ImageDraw  # noqa: PLC0415
    except ModuleNotFoundError:
        raise PillowMissing("Pillow is not installed; it is a line of requirements/worker.in") from None
    return PIL


def paint(path: Path, caption: str, hour: float, seed: int) -> None:
    """Paint a landscape as a PNG. The same seed has the same hills, whatever the hour is. Raises PillowMissing."""
    pil = _pillow()
    above, below, light = _sky(hour)
    picture = pil.Image.new("RGB", SIZE)
    draw = pil.ImageDraw.Draw(picture)
    for y in range(HEIGHT):
        draw.line((0, y, WIDTH, y), fill=_between(above, below, y / HEIGHT))
    draw.ellipse(_disc(hour), fill=_between(_MOON, _SUN, light))
    chance = random.Random(seed)  # noqa: S311 - hills, not secrets
    for height, color in _HILLS:
        draw.polygon(_hill(HEIGHT * height, chance), fill=_between(_DARK, color, light))
    draw.text((12, HEIGHT - 22), caption, fill="white", stroke_width=1, stroke_fill="black")
    picture.save(path, "PNG")


def play(path: Path, pictures: Sequence[Path], report: Callable[[float, str], None]) -> None:
    """Make an animated WebP of pictures that melt into each other. Raises PillowMissing."""
    pil = _pillow()
    frames = []
    following = [*pictures[1:], pictures[0]]
    for number, (one, other) in enumerate(zip(pictures, following, strict=True)):
        report(90 * number / len(pictures), f"scene {number + 1} of {len(pictures)}")
        with pil.Image.open(one) as begins, pil.Image.open(other) as ends:
            # The last scene is the last picture: the film begins again with a cut.
            steps = _BETWEEN if other != pictures[0] else 1
            frames += [pil.Image.blend(begins, ends, step / steps) for step in range(steps)]
    report(90, "putting them together")
    milliseconds = round(1000 * _SHOWN)
    frames[0].save(
        path, "WEBP", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, method=0
    )


def length(pictures: int) -> float:
    """Return the length in seconds of a film of this number of pictures."""
    return round((_BETWEEN * (pictures - 1) + 1) * _SHOWN, 2)


def _disc(hour: float) -> tuple[float, float, float, float]:
    """Return the box of the sun, or the moon, on its way over the sky from 5 to 21 o'clock."""
    share = (hour - 5) / 16
    x, y = WIDTH * share, HEIGHT * (0.62 - 0.5 * math.sin(math.pi * share))
    return x - 13, y - 13, x + 13, y + 13


def _hill(height: float, chance: random.Random) -> list[tuple[float, float]]:
    """Return the outline of a row of hills: three waves on top of each other."""
    waves = [(chance.uniform(3, 18), chance.uniform(0, 6), chance.uniform(2, 9)) for _ in range(3)]
    ridge: list[tuple[float, float]] = [
        (x, height + sum(size * math.sin(x / WIDTH * pace + at) for pace, at, size in waves))
        for x in range(WIDTH + 1)
    ]
    return [*ridge, (WIDTH, HEIGHT), (0, HEIGHT)]


def _sky(hour: float) -> tuple[Color, Color, float]:
    for (begin, above, below, light), (end, next_above, next_below, next_light) in pairwise(_SKIES):
        if hour <= end:
            share = max(0.0, (hour - begin) / (end - begin))
            return (
                _between(above, next_above, share),
                _between(below, next_below, share),
                light + (next_light - light) * share,
            )
    return _SKIES[-1][1:]


def _between(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
