"""How passwords are stored."""

from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from server.adapters.argon2_passwords import Argon2Passwords


async def test_a_password_is_stored_as_a_slow_hash() -> None:
    """Guard: `Argon2Passwords._hasher`: argon2id with the cost of RFC 9106, and a salt of its own.

    The whole password counts: bcrypt, for example, would stop after 72 bytes.
    """
    passwords = Argon2Passwords()
    long = "a long password, " * 15
    one, two = await passwords.hash(long), await passwords.hash(long)
    assert one != two
    assert extract_parameters(one) == RFC_9106_LOW_MEMORY
    assert await passwords.verify(long, one)
    assert not await passwords.verify(long[:-1], one)
    assert not await passwords.verify(long.upper(), one)
    assert not await passwords.verify(long, None)
