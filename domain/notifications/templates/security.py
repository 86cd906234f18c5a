"""Texts about changes to how a user signs in. They are always mailed, also to that user."""

from domain.notifications.text import TITLE_LENGTH, Data, Notice, Side, join_lines, one_line

ACCOUNT = "/settings/security"
NOT_YOU = "If this was not you, change your password and end your other sessions at once."
TEXTS = {
    "password_changed": ("Your password was changed", "All other devices were signed out."),
    "email_changed": ("Your e-mail address was changed", "Sign in with the new one from now on."),
    "new_device": ("A new device signed in: {detail}", "Your account was not used on it before."),
    "totp_enabled": ("Codes for signing in are set up", "Signing in needs a code from now on."),
    "totp_disabled": (
        "Codes for signing in are switched off",
        "Signing in needs no code from an app any more.",
    ),
    "passkey_added": ("A passkey was added: {detail}", "It can sign in to your account."),
    "passkey_removed": ("A passkey was removed: {detail}", "It cannot sign in any more."),
    "passkey_suspect": (
        "A passkey may have been copied: {detail}",
        "It was used out of order, so we have locked it. Remove it and add it again.",
    ),
    "codes_guessed": (
        "Somebody fails to sign in as you",
        "They know your password and have sent {detail} wrong codes.",
    ),
    "recovery_code_used": ("A recovery code was used", "You have {detail} left."),
    "recovery_codes_renewed": ("You have new recovery codes", "The old ones are void."),
    "second_factors_reset": (
        "Your second factors were removed",
        "The platform has removed your passkeys and codes, so that you can set up new ones.",
    ),
}


def security_changed(data: Data, side: Side) -> Notice | None:
    kind = str(data.get("kind"))
    if kind not in TEXTS:
        return None
    detail = one_line(str(data.get("detail") or ""), TITLE_LENGTH)
    title, text = (part.format(detail=detail) for part in TEXTS[kind])
    return Notice(
        kind=kind,
        title=title,
        text=join_lines(text, NOT_YOU),
        subject_id=str(data["id"]),
        path=ACCOUNT,
        always=True,
        topic=f"{kind}:{detail}",
    )
