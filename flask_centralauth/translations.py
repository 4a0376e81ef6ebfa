"""Our public sentences in the reader's language.

With Flask-Babel the application's locale decides and the catalogues of this package
(``translations/``) are used; without it every sentence is the English of the code.
"""

from __future__ import annotations

import gettext as stdlib_gettext
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

DOMAIN: Final = "flask_centralauth"
CATALOGUES: Final = Path(__file__).parent / "translations"
DEFAULT_LANGUAGE: Final = "en"


def N_(sentence: str) -> str:  # noqa: N802 - the name message extractors look for
    """Mark a sentence for the catalogues without translating it yet."""
    return sentence


@lru_cache(maxsize=64)
def _catalogue(language: str) -> stdlib_gettext.NullTranslations:
    names = [language, language.partition("_")[0]]
    return stdlib_gettext.translation(DOMAIN, CATALOGUES, languages=names, fallback=True)


class _NoTranslation(stdlib_gettext.NullTranslations):
    def gettext(self, message: str) -> str:
        return ""


@lru_cache(maxsize=1)
def _our_sentences() -> stdlib_gettext.NullTranslations:
    ours = stdlib_gettext.translation(DOMAIN, CATALOGUES, languages=[DEFAULT_LANGUAGE])
    ours.add_fallback(_NoTranslation())
    return ours


def is_ours(sentence: str) -> bool:
    """Say whether a sentence is in our catalogues, so that `gettext` is the one to ask."""
    return _our_sentences().gettext(sentence) != ""


def current_language() -> str:
    """Return the BCP 47 tag of the language our words are in, for ``lang`` attributes.

    The request's, where there is a catalogue; else what `gettext` falls back to.
    """
    locale = _locale()
    translated = isinstance(_catalogue(locale), stdlib_gettext.GNUTranslations)
    return locale.replace("_", "-") if translated else DEFAULT_LANGUAGE


def gettext(sentence: str) -> str:
    """Return the sentence in the request's language, always as a plain ``str``.

    Never a lazy string: it may end in the session, whose serializer refuses those.
    """
    return _catalogue(_locale()).gettext(sentence)


def _locale() -> str:
    # An application that uses Flask-Babel has imported it; importing it here for
    # everybody else would cost start-up time and make it a dependency.
    flask_babel = sys.modules.get("flask_babel")
    if flask_babel is None:
        return DEFAULT_LANGUAGE
    from flask import current_app, has_app_context

    if not has_app_context() or "babel" not in current_app.extensions:
        return DEFAULT_LANGUAGE
    return str(flask_babel.get_locale() or DEFAULT_LANGUAGE)
