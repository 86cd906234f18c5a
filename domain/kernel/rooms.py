"""Names of the rooms that pushes are sent to. No other file spells a room's name."""

import re

_USER, _JOB, _PRESENCE = "user:", "job:", "presence:"
_COUNTED = re.compile(r"(user|job):[^:]+")

LIVE_MONITOR = "live"  # administrators who have the live monitor open


def user_room(user_id: str) -> str:
    """All connections of one user."""
    return _USER + user_id


def role_room(role: str) -> str:
    """All connections of the users in one role. Also names a role among the readers of a file."""
    return f"role:{role}"


def presence_room(user_id: str) -> str:
    """Connections that asked for the presence of this user."""
    return _PRESENCE + user_id


def job_room(job_id: str) -> str:
    """Everyone who watches a job."""
    return _JOB + job_id


def open_job_room(job_id: str) -> str:
    """Watchers of the public part of a job while it is open; see `jobs/watch.py`."""
    return f"{_JOB}{job_id}:open"


def private_job_room(job_id: str) -> str:
    """Watchers of the public part of a job that is not open, who may still read it."""
    return f"{_JOB}{job_id}:inside"


def party_job_room(job_id: str) -> str:
    """Watchers who see the whole job: its parties, and administrators."""
    return f"{_JOB}{job_id}:party"


def is_counted(room: str) -> bool:
    """Whether presence counts the users in this room: rooms of one user, and `job_room`."""
    return _COUNTED.fullmatch(room) is not None


def gets_copies(room: str) -> bool:
    """Whether others get the events of this room as well: rooms of a user, a job, the market."""
    return room.startswith((_USER, _JOB)) or room == role_room("contractor")


def user_in(room: str) -> str | None:
    """The id in the name of a `user_room`."""
    return room.removeprefix(_USER) if room.startswith(_USER) else None


def presence_of(room: str) -> str | None:
    """The id in the name of a `presence_room`."""
    return room.removeprefix(_PRESENCE) if room.startswith(_PRESENCE) else None


def job_in(room: str) -> str | None:
    """The id in the name of a `job_room`."""
    return room.removeprefix(_JOB) if room.startswith(_JOB) else None
