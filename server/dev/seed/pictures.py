"""Pictures for jobs, chats, deliveries and disputes, drawn here."""

import io
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

SIZE = (960, 640)
WIDTH, HEIGHT = SIZE
QUALITY = 78

Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw

PAINTS: tuple[Colour, ...] = (
    (196, 122, 98),
    (112, 146, 132),
    (214, 188, 140),
    (126, 150, 184),
    (178, 150, 190),
    (226, 172, 112),
    (150, 170, 110),
)


def draw(name: str, luck: random.Random, *, finished: bool = False) -> bytes:
    """A JPEG of a drawing in DRAWINGS; `finished` ones are brighter and whole."""
    paint = luck.choice(PAINTS)
    picture = Image.new("RGB", SIZE, _lighter(paint, 0.82 if finished else 0.7))
    DRAWINGS[name](ImageDraw.Draw(picture), luck, paint, finished)
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=QUALITY)
    return kept.getvalue()


def _lighter(colour: Colour, part: float) -> Colour:
    red, green, blue = (round(value + (255 - value) * part) for value in colour)
    return red, green, blue


def _darker(colour: Colour, part: float) -> Colour:
    red, green, blue = (round(value * (1 - part)) for value in colour)
    return red, green, blue


def _sky(draw: Draw, ground: Colour) -> None:
    for y in range(0, 430, 10):
        draw.rectangle((0, y, WIDTH, y + 10), _lighter((110, 160, 210), y / 700))
    draw.rectangle((0, 430, WIDTH, HEIGHT), ground)


def _house(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    _sky(draw, (132, 158, 104))
    left, right = 190 + luck.randint(-40, 40), 770 + luck.randint(-40, 40)
    draw.rectangle((left, 270, right, 520), _lighter(paint, 0.45), _darker(paint, 0.3), 4)
    roof = (150, 84, 66)
    draw.polygon(((left - 40, 272), ((left + right) // 2, 90), (right + 40, 272)), roof)
    for row in range(7):
        y = 120 + row * 22
        half = (y - 90) * (right - left + 80) // 2 // 182
        for x in range((left + right) // 2 - half, (left + right) // 2 + half, 26):
            broken = not finished and row > 3 and luck.random() < 0.12
            draw.arc((x, y, x + 26, y + 22), 0, 180, (60, 50, 48) if broken else (122, 62, 50), 3)
    for place in range(3):
        x = left + 50 + place * (right - left - 130) // 2
        draw.rectangle((x, 330, x + 76, 420), (222, 236, 246), _darker(paint, 0.5), 5)
        draw.line((x + 38, 330, x + 38, 420), _darker(paint, 0.5), 4)
    draw.rectangle((left + 240, 430, left + 310, 520), _darker(paint, 0.45))


def _fence(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    _sky(draw, (140, 168, 110))
    colour = _darker(paint, 0.25) if finished else (158, 150, 140)
    for x in range(-10, WIDTH, 64):
        top = 210 + luck.randint(-6, 6)
        shade = colour if finished or luck.random() > 0.3 else _lighter(colour, 0.25)
        board = ((x, top + 24), (x + 26, top), (x + 52, top + 24), (x + 52, 560), (x, 560))
        draw.polygon(board, shade, _darker(colour, 0.3))
        if not finished:
            draw.ellipse((x + 14, top + 90, x + 30, top + 116), _darker(colour, 0.25))
    for y in (290, 480):
        draw.rectangle((0, y, WIDTH, y + 26), _darker(colour, 0.2))


def _room(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    wall = _lighter(paint, 0.5) if finished else (222, 214, 200)
    draw.rectangle((0, 0, WIDTH, HEIGHT), wall)
    draw.polygon(((0, 0), (180, 110), (780, 110), (WIDTH, 0)), (244, 242, 238))
    draw.polygon(((0, HEIGHT), (180, 470), (780, 470), (WIDTH, HEIGHT)), (176, 136, 98))
    for x in range(0, WIDTH, 90):
        draw.line((480 + (x - 480) * 0.62, 470, x, HEIGHT), (150, 112, 78), 2)
    for line in ((180, 110, 180, 470), (780, 110, 780, 470), (180, 470, 780, 470)):
        draw.line(line, _darker(wall, 0.2), 4)
    draw.rectangle((380, 180, 580, 360), (214, 232, 246), (250, 250, 250), 12)
    draw.line((480, 180, 480, 360), (250, 250, 250), 8)
    if finished:
        draw.rectangle((230, 390, 340, 470), _darker(paint, 0.2))
        draw.ellipse((250, 320, 320, 392), (96, 140, 92))
    else:
        for _ in range(5):
            x, y = luck.randint(200, 740), luck.randint(130, 320)
            draw.line((x, y, x + luck.randint(-30, 30), y + 60), (150, 142, 130), 3)
        draw.polygon(((640, 470), (690, 230), (740, 470)), None, (130, 100, 70), 8)


def _tiles(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    for row, y in enumerate(range(0, HEIGHT, 80)):
        for x in range(-(row % 2) * 80, WIDTH, 160):
            shade = _lighter(paint, 0.35 + luck.random() * 0.12)
            missing = not finished and x > 420 and luck.random() < 0.45
            draw.rectangle((x + 4, y + 4, x + 156, y + 76), (196, 188, 178) if missing else shade)
    if finished:
        draw.rectangle((700, 60, 730, 400), (214, 218, 222))
        draw.ellipse((640, 40, 790, 84), (214, 218, 222))


def _garden(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    _sky(draw, (120, 156, 92) if finished else (150, 136, 100))
    for _ in range(9):
        x, size = luck.randint(0, WIDTH), luck.randint(60, 140)
        draw.rectangle((x - 7, 430 - size // 2, x + 7, 440), (106, 78, 56))
        green = (70 + luck.randint(0, 40), 120 + luck.randint(0, 40), 64)
        draw.ellipse((x - size // 2, 400 - size, x + size // 2, 420), green)
    if finished:
        draw.polygon(((300, 640), (420, 450), (560, 450), (700, 640)), (206, 196, 180))
        for _ in range(60):
            x, y = (
                luck.choice((luck.randint(20, 300), luck.randint(690, 940))),
                luck.randint(470, 620),
            )
            draw.ellipse((x, y, x + 14, y + 14), _lighter(paint, luck.random() * 0.5))


def _plan(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    draw.rectangle((0, 0, WIDTH, HEIGHT), (248, 250, 252))
    for x in range(0, WIDTH, 40):
        draw.line((x, 0, x, HEIGHT), (224, 232, 240))
    for y in range(0, HEIGHT, 40):
        draw.line((0, y, WIDTH, y), (224, 232, 240))
    ink = _darker(paint, 0.4)
    for column in range(4):
        x = 160 + column * 160
        draw.rectangle((x, 120, x + 160, 520), None, ink, 5)
        for shelf in range(luck.randint(3, 5)):
            draw.line((x, 190 + shelf * 70, x + 160, 190 + shelf * 70), ink, 4)
    draw.line((160, 570, 800, 570), ink, 2)
    for x in (160, 800):
        draw.line((x, 556, x, 584), ink, 2)
    if finished:
        draw.rectangle((324, 404, 636, 516), _lighter(paint, 0.6))


def _screen(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    draw.rounded_rectangle((110, 60, 850, 560), 18, (252, 252, 252), (70, 76, 88), 10)
    draw.rectangle((120, 70, 840, 118), (236, 238, 242))
    for place in range(3):
        draw.ellipse((140 + place * 30, 86, 156 + place * 30, 102), PAINTS[place])
    draw.rectangle((160, 150, 800, 300), _lighter(paint, 0.3))
    draw.rectangle((200, 190, 200 + luck.randint(240, 380), 214), (255, 255, 255))
    draw.rectangle((200, 232, 420, 250), _lighter(paint, 0.75))
    for place in range(3 if finished else 2):
        x = 160 + place * 220
        draw.rounded_rectangle((x, 330, x + 200, 520), 10, _lighter(PAINTS[place + 1], 0.5))
        draw.rectangle((x + 20, 470, x + 150, 484), (255, 255, 255))
    draw.rectangle((400, 560, 560, 610), (90, 96, 108))


def _logo(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    draw.rectangle((0, 0, WIDTH, HEIGHT), (250, 247, 240))
    other = luck.choice(PAINTS)
    draw.ellipse((330, 130, 630, 430), paint)
    draw.pieslice((330, 130, 630, 430), 20, 200, _darker(other, 0.1))
    draw.ellipse((420, 220, 540, 340), (250, 247, 240))
    if finished:
        draw.rounded_rectangle((300, 480, 660, 512), 16, _darker(paint, 0.3))
        draw.rounded_rectangle((380, 534, 580, 552), 9, _lighter(paint, 0.3))


def _bike(draw: Draw, luck: random.Random, paint: Colour, finished: bool) -> None:
    draw.rectangle((0, 500, WIDTH, HEIGHT), (190, 186, 178))
    for x in (270, 690):
        draw.ellipse((x - 130, 280, x + 130, 540), None, (58, 60, 64), 12)
        for turn in range(0, 360, 20):
            draw.pieslice((x - 118, 292, x + 118, 528), turn, turn + 20, None, (186, 190, 196))
    frame = ((270, 410), (400, 230), (610, 230), (690, 410))
    draw.line(frame, _darker(paint, 0.15), 14, "curve")
    draw.line(((400, 230), (470, 410), (610, 230)), _darker(paint, 0.15), 14, "curve")
    draw.line(((270, 410), (470, 410)), (90, 92, 96), 6)
    draw.rounded_rectangle((360, 196, 450, 216), 9, (60, 48, 42))
    draw.line(((610, 230), (596, 170), (650, 158)), (58, 60, 64), 10)
    if not finished:
        draw.line(((250, 538), (300, 556)), (90, 40, 40), 8)


DRAWINGS: dict[str, Callable[[Draw, random.Random, Colour, bool], None]] = {
    "house": _house,
    "fence": _fence,
    "room": _room,
    "tiles": _tiles,
    "garden": _garden,
    "plan": _plan,
    "screen": _screen,
    "logo": _logo,
    "bike": _bike,
}
