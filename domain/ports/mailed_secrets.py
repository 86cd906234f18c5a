"""Protocol: tokens and codes that are mailed, derived from an id and never stored."""

from typing import Protocol


class MailedSecrets(Protocol):
    """A secret is a keyed digest of the id that it was issued under. A reader of the database
    cannot make one, and a mail that is sent again contains the same one."""

    def token(self, id: str) -> str:
        """A text for links, which contains the id."""
        ...

    def read(self, token: str) -> str | None:
        """The id of a genuine token."""
        ...

    def code(self, id: str) -> str:
        """Six digits. There are few, so the number of attempts must be limited."""
        ...

    def code_fits(self, id: str, code: str) -> bool: ...

    def digest(self, text: str) -> str:
        """A keyed digest of a text, such as an address, to look it up by."""
        ...
