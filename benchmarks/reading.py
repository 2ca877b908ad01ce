"""How well codes are read from bad pictures: writes `docs/reading-rates.md` and its plot.

Every kind of text is drawn as a screen or paper shows it, brought to a number of camera pixels for a module,
spoiled in one way at a time by chance (fixed seed), and read. Run: `python benchmarks/reading.py`.
"""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ewallet.formats.qr import QUIET_ZONE, matrix, qr_image, read_image

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCALES = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
TRIALS = 8
DRAW = 12
KINDS = {
    "EWC code": ("EWC", 419, "screen"),
    "EWC code with attributes": ("EWC", 640, "screen"),
    "EWL license": ("EWL", 980, "screen"),
    "EWQ question": ("EWQ", 359, "screen"),
    "EWP paper": ("EWP", 453, "paper"),
    "EWD display": ("EWD", 410, "paper"),
    "EWS seal": ("EWS", 640, "paper"),
}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def text_of(prefix: str, length: int, chance: np.random.Generator) -> str:
    return prefix + "".join(_ALPHABET[n] for n in chance.integers(0, 32, length - 3))


def at_scale(image: Image.Image, pixels: float) -> Image.Image:
    side = round(image.width * pixels / DRAW)
    return image.convert("L").resize((side, side), Image.Resampling.BOX)


def on_background(image: Image.Image) -> Image.Image:
    border = image.width // 6
    out = Image.new("L", (image.width + 2 * border, image.height + 2 * border), 190)
    out.paste(image, (border, border))
    return out


def tilt(image, _, chance):
    """Seen from up to 45 degrees aside and turned by up to 20 degrees; never below the scale named."""
    w = image.width
    lean = math.sin(math.radians(chance.uniform(20, 45))) * 0.4
    bigger = image.resize((round(w * (1 + lean)),) * 2, Image.Resampling.BICUBIC)
    w = bigger.width
    inset = w * lean / 2
    corners = [(0, 0), (w, inset), (w, w - inset), (0, w)]
    seen = bigger.transform(
        (w, w), Image.Transform.PERSPECTIVE, _perspective(corners, w), Image.Resampling.BICUBIC, fillcolor=190
    )
    return seen.rotate(chance.uniform(-20, 20), Image.Resampling.BICUBIC, expand=True, fillcolor=190)


def _perspective(corners, w):
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (w, 0), (w, w), (0, w)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(right, float))


def blur(image, pixels, chance):
    """Out of focus: Gaussian of 0.3 to 0.42 modules."""
    return _out_of_focus(image, chance.uniform(0.3, 0.42) * pixels)


def _out_of_focus(image, radius):
    return image.filter(ImageFilter.GaussianBlur(radius))


def motion(image, pixels, chance):
    """Moved by 0.8 to 1.2 modules along one axis while the shutter was open."""
    steps = max(2, round(chance.uniform(0.8, 1.2) * pixels))
    data = np.asarray(image, float)
    axis = int(chance.integers(0, 2))
    moved = sum(np.roll(data, step, axis) for step in range(steps)) / steps
    return Image.fromarray(moved.astype(np.uint8))


def jpeg(image, _, chance):
    """Sent through a messenger: JPEG quality 5 to 20."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(chance.integers(5, 21)))
    return Image.open(io.BytesIO(buffer.getvalue())).convert("L")


def contrast(image, _, chance):
    """A dim screen: 10% to 20% of the contrast, with camera noise."""
    return _dim(image, chance.uniform(0.10, 0.20), chance)


def _dim(image, share, chance):
    data = np.asarray(image, float)
    data = 110 + (data - 128) * share + chance.normal(0, 3, data.shape)
    return Image.fromarray(data.clip(0, 255).astype(np.uint8))


def glare(image, _, chance):
    """A lamp mirrored in the screen: a bright ramp that leaves 6% of the contrast at its middle."""
    data = np.asarray(image, float)
    ys, xs = np.mgrid[: data.shape[0], : data.shape[1]] / data.shape[0]
    x, y = chance.uniform(0.2, 0.8, 2)
    light = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 0.1) * 0.94
    return Image.fromarray((data * (1 - light) + 250 * light).clip(0, 255).astype(np.uint8))


SPOILERS = {
    "tilt": tilt,
    "blur": blur,
    "motion": motion,
    "JPEG": jpeg,
    "low contrast": contrast,
    "glare": glare,
}


def rate(kind: str, spoiler: str, pixels: float, trials: int = TRIALS, spoil=None) -> float:
    """Share of pictures that were read, and read right."""
    prefix, length, medium = KINDS[kind]
    number = list(SPOILERS).index(spoiler) if spoil is None else len(SPOILERS) + list(HARDER).index(spoiler)
    spoil = spoil or SPOILERS[spoiler]
    chance = np.random.default_rng([list(KINDS).index(kind), number, round(pixels * 10)])
    good = 0
    for _ in range(trials):
        text = text_of(prefix, length, chance)
        image = on_background(at_scale(qr_image(text, medium=medium, box=DRAW), pixels))
        found = read_image(spoil(image, pixels, chance))
        assert found in ([], [text]), "a code was read wrongly"
        good += found == [text]
    return good / trials


def modules(kind: str) -> int:
    prefix, length, medium = KINDS[kind]
    return len(matrix(text_of(prefix, length, np.random.default_rng(1)), medium=medium)) + 2 * QUIET_ZONE


COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


def plot(rates: dict[tuple[str, float], float], path: Path) -> None:
    """Reading rate against camera pixels for a module, one line for each way of spoiling."""
    width, height, left, bottom = 760, 420, 60, 50
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    right, top = width - 150, 20

    def place(pixels: float, share: float) -> tuple[float, float]:
        x = left + (pixels - SCALES[0]) / (SCALES[-1] - SCALES[0]) * (right - left)
        return x, height - bottom - share * (height - bottom - top)

    for share in (0, 0.25, 0.5, 0.75, 1):
        draw.line([place(SCALES[0], share), place(SCALES[-1], share)], fill="#ddd")
        draw.text((left - 42, place(2, share)[1] - 8), f"{share:.0%}", fill="black", font=font)
    for pixels in SCALES:
        draw.line([place(pixels, 0), place(pixels, 1)], fill="#eee")
        draw.text((place(pixels, 0)[0] - 8, height - bottom + 8), f"{pixels:g}", fill="black", font=font)
    draw.text((left + 150, height - 24), "camera pixels for a module", fill="black", font=font)
    for number, spoiler in enumerate(SPOILERS):
        points = [place(pixels, rates[spoiler, pixels]) for pixels in SCALES]
        draw.line(points, fill=COLORS[number], width=3)
        for x, y in points:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=COLORS[number])
        draw.text((right + 20, top + 10 + 24 * number), spoiler, fill=COLORS[number], font=font)
    image.save(path, optimize=True)


HARDER = {
    "blur of 0.42 modules": lambda image, pixels, _: _out_of_focus(image, 0.42 * pixels),
    "blur of 0.46 modules": lambda image, pixels, _: _out_of_focus(image, 0.46 * pixels),
    "blur of 0.5 modules": lambda image, pixels, _: _out_of_focus(image, 0.5 * pixels),
    "blur of 0.6 modules": lambda image, pixels, _: _out_of_focus(image, 0.6 * pixels),
    "10% of the contrast": lambda image, _, chance: _dim(image, 0.10, chance),
    "8% of the contrast": lambda image, _, chance: _dim(image, 0.08, chance),
    "6% of the contrast": lambda image, _, chance: _dim(image, 0.06, chance),
    "5% of the contrast": lambda image, _, chance: _dim(image, 0.05, chance),
}
"""Spoiled by one strength each, up to beyond what can be read."""
HARDER_SCALES = (4.0, 5.0)


def limits() -> list[str]:
    """The section on where reading ends, all kinds together."""
    lines = [
        "## Where reading ends",
        "",
        "Share over all kinds. More pixels help little: focus and light must be better.",
        "",
    ]
    lines += ["| | " + " | ".join(f"{pixels:g} px" for pixels in HARDER_SCALES) + " |"]
    lines += ["|---" * (len(HARDER_SCALES) + 1) + "|"]
    for name, spoil in HARDER.items():
        cells = []
        for pixels in HARDER_SCALES:
            rates = [rate(kind, name, pixels, spoil=spoil) for kind in KINDS]
            cells.append(f"{sum(rates) / len(rates):.0%}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(name, *cells)
    return [*lines, ""]


def main() -> None:
    rates = {}
    lines = [
        "# Reading rates",
        "",
        "Share of degraded pictures from which a code is read, by camera pixels for a module:",
        f"`python benchmarks/reading.py`, {TRIALS} pictures a cell, fixed seed; none was read wrongly.",
        "From four pixels for a module on every kind is read from every picture spoiled **as hard as stated",
        "at the end of this page, and no harder**: blur of at most 0.42 modules, at least 10% of contrast.",
        "With blur of half a module or 5% of the contrast most or all codes fail, at five pixels as at four",
        '("Where reading ends").',
        "",
        "![Reading rate against camera pixels for a module](reading-rates.png)",
        "",
    ]
    for kind in KINDS:
        head = " | ".join(f"{pixels:g} px" for pixels in SCALES)
        lines += [f"## {kind}", "", f"{modules(kind)} modules a side, quiet zone included.", ""]
        lines += [f"| | {head} |", "|---" * (len(SCALES) + 1) + "|"]
        for spoiler in SPOILERS:
            shares = [rate(kind, spoiler, pixels) for pixels in SCALES]
            for pixels, share in zip(SCALES, shares, strict=True):
                rates.setdefault((spoiler, pixels), []).append(share)
            lines.append(f"| {spoiler} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
            print(kind, spoiler, *(f"{share:.2f}" for share in shares))
        lines.append("")
    lines += limits()
    lines += ["## How each picture was spoiled", ""]
    lines += [f"- {name}: {' '.join((call.__doc__ or '').split())}" for name, call in SPOILERS.items()]
    (DOCS / "reading-rates.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot({key: sum(each) / len(each) for key, each in rates.items()}, DOCS / "reading-rates.png")


if __name__ == "__main__":
    main()
