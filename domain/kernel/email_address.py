"""E-mail addresses: their syntax, and the one form in which they are stored and compared.

The form is in lower case and in Unicode's normal form C, with the domain in Unicode; what copying
leaves around it is taken off. No DNS is asked.
Source: RFC 5321, RFC 6531 and RFC 5891, as the library implements them.
"""

import string
import unicodedata

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

MAX_EMAIL = 254
# Unicode's white space, and the invisible marks that programs of contacts copy with an address.
# Source: Unicode Character Database, PropList.txt (White_Space) and general category Cf.
AROUND = string.whitespace + "\u0085\u00a0\u00ad\u061c\u1680\u180e\u3000\ufeff"
AROUND += "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)))
)

# Mail servers of companies use names in .local. The library's way to permit one is to change its
# list. Names in .invalid stay refused: closed accounts have them.
if "local" in SPECIAL_USE_DOMAIN_NAMES:
    SPECIAL_USE_DOMAIN_NAMES.remove("local")


def normalized_email(text: str) -> str:
    """The stored form of an address. Raises ValueError with a text for its owner."""
    text = text.strip(AROUND)
    if len(text) > MAX_EMAIL:
        raise ValueError(f"an address has at most {MAX_EMAIL} characters.")
    try:
        # `test_environment` permits the names in .test, which development and tests use.
        found = validate_email(text, strict=True, check_deliverability=False, test_environment=True)
    except EmailNotValidError as refused:
        raise ValueError(str(refused)) from refused
    if "." not in found.domain:
        raise ValueError("The part after the @-sign should have a period.")
    return unicodedata.normalize("NFC", found.normalized.lower())


def email_to_find(text: str) -> str:
    """The form by which an account is looked up. Text that is no address finds none."""
    try:
        return normalized_email(text)
    except ValueError:
        return text.strip(AROUND).lower()
