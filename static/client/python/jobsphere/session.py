"""The tokens of a signed-in user, renewed before they expire, one renewal at a time."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from jobsphere.http import Http
from jobsphere.refusals import ENDING, Refusal, repeat, was_not_answered

REFRESH = "/api/account/refresh"
EARLY = 60.0  # seconds before its end at which an access token is renewed, or half of its life
LEAST = 10.0  # seconds that a token must still be valid to be used, and between two renewals
SKEW = 30.0  # seconds between the clocks; less is the way of the answer
AGAIN = 15.0  # seconds after a renewal that failed
# The server repeats its answer for 30 s. Later the same refresh token would end the session: the
# last attempt begins within PATIENCE, and none takes longer than ANSWER_SECONDS.
PATIENCE, ANSWER_SECONDS = 25.0, 5.0


class Session:
    """`tokens` is what the sign-in answered, with the newest pair. It can be stored as JSON and be
    given to `Client.resume` later; `on_change` is called with each new pair."""

    def __init__(
        self,
        http: Http,
        tokens: Mapping[str, Any],
        on_change: Callable[[dict[str, Any]], None],
        on_repeat: Callable[[Refusal], None],
    ) -> None:
        self.tokens = dict(tokens)
        self.renewals = 0
        self._http = http
        self._on_change = on_change
        self._on_repeat = on_repeat
        self._renewing = asyncio.Lock()
        self._skew = 0.0  # the server's clock minus ours; a stored session does not tell it

    @property
    def seconds_left(self) -> float:
        """Until the access token expires."""
        expires_at = datetime.fromisoformat(self.tokens["expires_at"])
        return (expires_at - datetime.now(UTC)).total_seconds() - self._skew

    async def token(self) -> str:
        """An access token that is valid. Raises Refusal.

        While the server cannot renew tokens (`unavailable`), it accepts expired ones.
        """
        if self.seconds_left <= LEAST:
            try:
                await self.renew(self.renewals)
            except Refusal as refused:
                if refused.code != "unavailable":
                    raise
        return str(self.tokens["access_token"])

    async def renew(self, renewals: int) -> None:
        """Renew the tokens that there were after so many `renewals`. Who asks while they are being
        renewed gets the same ones.

        Raises Refusal; `unauthenticated` means that the session has ended.
        """
        async with self._renewing:
            if self.renewals == renewals:
                fields = {"refresh_token": self.tokens["refresh_token"]}
                self.tokens |= await repeat(
                    lambda: self._http.request("POST", REFRESH, fields, seconds=ANSWER_SECONDS),
                    again=was_not_answered,
                    patience=PATIENCE,
                    on_repeat=self._on_repeat,
                )
                self.renewals += 1
                self._skew = _skew(self.tokens["access_token"])
                self._on_change(dict(self.tokens))

    async def authorized(self, call: Callable[[str], Awaitable[Any]]) -> Any:
        """Call with a token, once more with a new one if the server calls it expired."""
        token, renewals = await self.token(), self.renewals
        try:
            return await call(token)
        except Refusal as refused:
            if refused.code != "token_expired":
                raise
        await self.renew(renewals)
        return await call(await self.token())

    async def keep_fresh(self) -> None:
        """Renew the tokens in time, until the session ends. Raises the Refusal that ended it."""
        while True:
            await asyncio.sleep(pause(self.seconds_left))
            try:
                await self.renew(self.renewals)
            except Refusal as refused:
                if refused.code in ENDING:
                    raise
                await asyncio.sleep(AGAIN)


def pause(left: float) -> float:
    """Seconds until a token is renewed that is valid for so long."""
    return max(left - EARLY, left / 2, LEAST)


def _skew(token: str) -> float:
    """The server's clock minus ours: a token that came just now tells when it was made."""
    try:
        facts = token.split(".")[1]
        made = json.loads(urlsafe_b64decode(facts + "=" * (-len(facts) % 4)))["iat"]
        skew = float(made) - datetime.now(UTC).timestamp()
    except (ValueError, LookupError, TypeError):
        return 0.0
    return skew if abs(skew) > SKEW else 0.0
