"""The files of one process's index: a numbered folder that it has for itself.

A process takes the first folder that no living process holds, so a restart continues with an
index that an earlier process left. A folder of another version of the analysis, and one that
cannot be opened, is emptied, and the index is built again.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog
import tantivy

from server.adapters.job_index.schema import FINGERPRINT, SCHEMA, document

log = structlog.get_logger()

MOST_FOLDERS = 64
WRITER_BYTES = 32 * 2**20  # of documents that are not written yet
STATE = "state.json"


class State(msgspec.Struct, frozen=True):
    """What the index holds: all changes of jobs up to `mark`, and maybe later ones."""

    fingerprint: str
    mark: datetime | None = None


class Files:
    """The folder, the open index and its only writer. All methods block."""

    def __init__(self, folder: Path) -> None:
        self._parent = folder
        self._lock: IO[str] | None = None
        self._folder: Path | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.mark: datetime | None = None
        self.searcher: tantivy.Searcher | None = None  # on the last commit

    def open(self) -> None:
        """Take a folder and open its index at the last commit, an empty one where there is none
        that can be used. An engine that is open is closed before."""
        self.close_engine()
        if self._folder is None:
            try:
                self._folder = self._take_folder(self._parent)
            except OSError as refused:
                log.warning(
                    "DATA_DIR cannot be written, the job index is not kept", reason=str(refused)
                )
                self._temporary = tempfile.TemporaryDirectory(prefix="jobsphere-")
                self._folder = self._take_folder(Path(self._temporary.name))
        state = self._read_state()
        usable = state is not None and state.fingerprint == FINGERPRINT
        try:
            if not usable:
                self._empty()
            self._open()
            self.mark = state.mark if state and usable else None
        except BaseException as damaged:  # the engine also raises panics
            if isinstance(damaged, KeyboardInterrupt | SystemExit):
                raise
            log.warning("the job index is damaged and built again", reason=str(damaged))
            self.rebuild()

    def rebuild(self) -> None:
        """Begin with an empty index."""
        self.mark = None
        self._empty()
        self._open()

    def _take_folder(self, parent: Path) -> Path:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, MOST_FOLDERS + 1):
            lock = (parent / f"{number}.lock").open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock = lock
            return parent / str(number)
        raise OSError(f"{parent} has {MOST_FOLDERS} folders, which are all in use")

    def _read_state(self) -> State | None:
        assert self._folder
        try:
            return msgspec.json.decode((self._folder / STATE).read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None

    def _empty(self) -> None:
        assert self._folder
        self.close_engine()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)

    def _open(self) -> None:
        assert self._folder
        self.index = tantivy.Index(SCHEMA, path=str(self._folder))
        self.index.config_reader("manual", 0)
        self.writer = self.index.writer(WRITER_BYTES, 1)
        self.searcher = self.index.searcher()

    def replace(self, gone: Iterable[str], jobs: Iterable[Mapping[str, Any]]) -> None:
        """Replace the documents with the ids `gone` by those of `jobs`, from the next commit on.

        No local variable names the writer: the traceback of an error would keep it alive, and with
        it the engine's lock of the folder, so that the index could not be opened again.
        """
        for id in gone:
            self.writer.delete_documents_by_term("id", id)
        for job in jobs:
            try:
                entry = document(job)
            except (KeyError, TypeError, AttributeError) as damaged:
                log.error("damaged job not indexed", job=job["_id"], reason=repr(damaged))
                continue
            self.writer.add_document(entry)

    def commit(self) -> None:
        """Make what was written visible and durable."""
        self.writer.commit()
        self.index.reload()
        self.searcher = self.index.searcher()

    def save(self, mark: datetime | None) -> None:
        """Remember up to which change the committed index is complete."""
        assert self._folder
        draft = self._folder / f"{STATE}.new"
        draft.write_bytes(msgspec.json.encode(State(FINGERPRINT, mark)))
        os.replace(draft, self._folder / STATE)
        self.mark = mark

    def close_engine(self) -> None:
        self.searcher = None
        for name in ("writer", "index"):
            with contextlib.suppress(AttributeError):
                delattr(self, name)

    def close(self) -> None:
        self.close_engine()
        if self._lock:
            self._lock.close()
            self._lock = None
        if self._temporary:
            self._temporary.cleanup()
