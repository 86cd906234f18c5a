"""What people write, which is in `texts.toml`: jobs by category, letters, chats, complaints."""

import random
from pathlib import Path

import msgspec

Lines = tuple[str, ...]


class Town(msgspec.Struct, frozen=True):
    """A place where people live, and the currency in which they pay."""

    name: str
    lon: float
    lat: float
    currency: str


class Idea(msgspec.Struct, frozen=True):
    """A kind of job. `cost` is in whole units of the currency, `picture` the name of a drawing,
    and `parts` are milestones that it may have."""

    category: str
    title: str
    text: str
    skills: tuple[str, ...]
    cost: tuple[int, int]
    days: int
    picture: str
    parts: tuple[str, ...] = ()
    on_site: bool = True


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    first_names: str
    last_names: str
    towns: tuple[Town, ...]
    streets: Lines
    ideas: tuple[Idea, ...]
    rooms: Lines
    shops: Lines
    when: Lines
    letters: Lines
    openings: Lines
    replies: Lines
    questions: Lines  # the first comes with a picture
    answers: Lines
    progress: Lines
    shows: Lines  # with a picture
    looks: Lines
    thanks: Lines
    welcome: Lines
    descriptions: Lines
    counters: Lines
    notes: Lines
    complaints: dict[str, str]
    defences: Lines
    decisions: Lines
    closed: Lines  # alerts
    headlines: Lines
    bios: Lines


FILE = Path(__file__).with_suffix(".toml")
TEXTS = msgspec.toml.decode(FILE.read_bytes(), type=Texts)
FIRST_NAMES, LAST_NAMES = TEXTS.first_names.split(), TEXTS.last_names.split()


def job_texts(idea: Idea, luck: random.Random) -> tuple[str, str]:
    """A title and a description."""
    slots = {
        "room": luck.choice(TEXTS.rooms),
        "shop": luck.choice(TEXTS.shops),
        "n": str(luck.choice((4, 6, 8, 10, 12, 14, 18, 20, 24, 30, 36, 40))),
    }
    return idea.title.format(**slots), idea.text.format(**slots)


def line(choices: Lines, luck: random.Random, **slots: str) -> str:
    """One of these sentences."""
    usual = {
        "when": luck.choice(TEXTS.when),
        "days": str(luck.randint(2, 9)),
        "years": str(luck.randint(3, 25)),
        "year": str(luck.randint(1998, 2022)),
    }
    return luck.choice(choices).format(**(usual | slots))
