"""The translation catalogues hold every sentence of the code and the templates, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import flask_centralauth

PACKAGE = Path(flask_centralauth.__file__).parent
CATALOGUES = PACKAGE / "translations"
LANGUAGES = ("en", "nl", "de", "fr", "es")
HOW_TO = "do what is said at the top of flask_centralauth/translations/extract.cfg"


@lru_cache(maxsize=1)
def sentences() -> frozenset[str]:
    with (CATALOGUES / "extract.cfg").open(encoding="utf-8") as mapping:
        methods, options = parse_mapping_cfg(mapping)  # type: ignore[no-untyped-call]
    found = extract_from_dir(PACKAGE, method_map=methods, options_map=options)
    return frozenset(str(sentence) for _, _, sentence, _, _ in found)


def catalogue(language: str) -> Catalog:
    with (CATALOGUES / language / "LC_MESSAGES" / "flask_centralauth.po").open("rb") as source:
        return read_po(source, locale=language)


def translated(language: str) -> Iterator[tuple[str, str]]:
    for message in catalogue(language):
        if message.id:
            yield str(message.id), str(message.string)


def test_every_listed_language_is_there_and_no_other() -> None:
    assert {path.parent.parent.name for path in CATALOGUES.rglob("*.po")} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_has_exactly_the_sentences_in_use(language: str) -> None:
    assert {sentence for sentence, _ in translated(language)} == sentences(), HOW_TO


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_checked(language: str) -> None:
    book = catalogue(language)

    assert [message.id for message in book if message.id and (not message.string or message.fuzzy)] == []
    assert not book.obsolete
    assert [errors for _, errors in book.check()] == []
    for sentence, words in translated(language):
        assert re.findall(r"%\(\w+\)s", sentence) == re.findall(r"%\(\w+\)s", words)
        assert sentence.endswith(".") == words.endswith("."), words
        assert words == words.strip()


def test_english_is_the_english_of_the_code() -> None:
    assert [(sentence, words) for sentence, words in translated("en") if sentence != words] == []


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_no_sentence_stayed_english(language: str) -> None:
    assert [sentence for sentence, words in translated(language) if sentence == words] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalogue_equals_its_source(language: str) -> None:
    with (CATALOGUES / language / "LC_MESSAGES" / "flask_centralauth.mo").open("rb") as compiled:
        book = GNUTranslations(compiled)

    for sentence, words in translated(language):
        assert book.gettext(sentence) == words, HOW_TO
