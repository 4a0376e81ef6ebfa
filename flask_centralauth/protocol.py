"""The words CentralAuth uses on the wire: paths, option keys, error parameters.

Constants only, shared by the extension and the emulator, so that the two cannot
drift apart in spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOGIN_PATH: Final = "/login"
VERIFY_PATH: Final = "/api/v1/verify"
USERINFO_PATH: Final = "/api/v1/userinfo"
LOGOUT_PATH: Final = "/api/v1/logout"
AUTHENTICATE_DIRECT_PATH: Final = "/api/v1/authenticate_direct"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"

#: The pair of query parameters a failed callback carries, newest spelling first.
CALLBACK_ERROR_NAMES: Final = (
    ("error", "error_description"),
    ("error_code", "error_message"),
)

#: Protected JWE header member that marks a token made by the emulator.
EMULATOR_TOKEN_MARK: Final = "emu"

#: Member of the discovery document that marks the emulator.
EMULATOR_DISCOVERY_MARK: Final = "x_centralauth_emulator"

#: ``enc`` of a token by the length in bytes of the client secret that is its key.
SECRET_LENGTHS: Final = (16, 24, 32, 48, 64)

TRANSLATION_KEYS: Final = frozenset(
    """
    emailAddress loginPageIntro loginPageAffirmIntro loginPagePasskeyAuthentication
    loginPagePasskeyRegistration loginPagePasskeyIntro loginPagePasskeyOrganizationWarning
    loginPagePasskeyError loginPageEmailIntro loginPageEmailError loginPageAppIntro
    loginPageAppQRlabel loginPageAppThisDeviceText loginPageAppOtherDeviceText
    loginPageCaptcha loginPageCaptchaChallengeText loginPageCaptchaPuzzleText
    loginPageCaptchaLockText loginPageCaptchaCodeText loginPageCaptchaError
    loginPageAnotherWay loginPageOrWith loginPageDisclaimer suspiciousActivityDetected
    emailLinkSubject emailCodeSubject emailLinkBody emailCodeBody emailWaitUntil
    emailBodyWarning emailBodyUndoText emailBodyUndoLink emailChallengeText login
    loginWithPasskey loginLocal loginRemote loginAttemptBody loginAttemptCodeBody
    loginAttemptSuccess loginAttemptError loginAttemptInteractMessage
    loginAttemptUndoSuccess loginAttemptUndoError undo
    """.split()
)

THEME_KEYS: Final = frozenset(
    """
    loginBlockLayout loginPageLayout imageUrl customFont primaryColor backgroundColor
    contentColor neutralColor
    """.split()
)

#: What a key of `THEME_KEYS` may be set to, where that is a word of CentralAuth's.
LAYOUTS: Final[Mapping[str, frozenset[str]]] = {
    "loginBlockLayout": frozenset({"default", "compact"}),
    "loginPageLayout": frozenset({"default", "compact", "alignLeft", "alignRight", "fullLeft", "fullRight"}),
}
