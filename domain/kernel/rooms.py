"""The names of the rooms that pushes are sent to."""


def outer_room(job_id: str) -> str:
    """Of everybody who watches a job."""
    return f"job:{job_id}"


def inner_room(job_id: str) -> str:
    """Of those who watch it although it is not open; see `watching.py`."""
    return f"job:{job_id}:inside"


USER, JOB = "user:", "job:"  # what rooms begin with
