"""Translations are complete, compiled and have the right placeholders, and the language switch works."""

from __future__ import annotations

import re
import shutil

import polib
import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import translation

from monitors.domain.durations import cron_in_words, exactly, parse_duration
from scripts.messages import LANGUAGES, ROOT, catalog, catalogs, extracted, to_do

# %(name)s, %d and %% of Python, {} and {name} of ours, <strong> and &nbsp; of templates.
_PLACEHOLDER = re.compile(r"%\(\w+\)[sdf]|%[sd%]|\{\w*\}|</?\w+[^>]*>|&\w+;")


def key(entry: polib.POEntry) -> tuple[str, str, str]:
    return entry.msgctxt or "", entry.msgid, entry.msgid_plural or ""


def placeholders(text: str) -> list[str]:
    return sorted(_PLACEHOLDER.findall(text))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xgettext") is None, reason="needs GNU gettext to read the source")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_of_the_source_is_translated(language):
    found = extracted(language)
    assert to_do(found) == []
    assert {key(entry) for entry in found} == {key(entry) for entry in polib.pofile(str(catalog(language)))}


def test_every_language_to_choose_from_has_a_catalog():
    assert {code for code, _name in settings.LANGUAGES} == {"en", *LANGUAGES}


@pytest.mark.parametrize("path", catalogs(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_compiled_catalog_matches_its_source(path):
    source, compiled = polib.pofile(str(path)), polib.mofile(str(path.with_suffix(".mo")))
    assert to_do(source) == []
    compiled_text = {key(entry): entry.msgstr_plural or entry.msgstr for entry in compiled}
    assert compiled_text == {key(entry): entry.msgstr_plural or entry.msgstr for entry in source}


@pytest.mark.parametrize("path", catalogs(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_translation_has_the_placeholders_of_its_original(path):
    wrong = []
    for entry in polib.pofile(str(path)):
        for compiled_text in [entry.msgstr, *entry.msgstr_plural.values()]:
            wanted = {tuple(placeholders(text)) for text in (entry.msgid, entry.msgid_plural) if text}
            if compiled_text and tuple(placeholders(compiled_text)) not in wanted:
                wrong.append((entry.msgid, compiled_text))
    assert wrong == []


def test_durations_are_formatted_and_parsed_in_the_readers_language():
    with translation.override("id"):
        assert exactly(5400) == "1 jam 30 mnt"
        typed = ("1 jam 30 mnt", "1 jam 30 menit", "90 menit", "5400 detik", "1 h 30 min", "5400")
        assert {parse_duration(text) for text in typed} == {5400}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 2 * * *", "Pukul 02:00"),
        ("*/5 * * * *", "Setiap 5 menit"),
        ("0 9 * * MON-FRI", "Pukul 09:00, Senin sampai Jumat"),
        ("30 4 1,15 * *", "Pukul 04:30, pada tanggal 1 dan 15"),
    ],
)
def test_a_cron_expression_is_described_in_indonesian(expression, words):
    with translation.override("id"):
        assert cron_in_words(expression) == words


def test_the_cron_catalog_is_complete():
    import cron_descriptor

    english = polib.mofile(f"{cron_descriptor.__path__[0]}/locale/en_US.mo")
    ours = {entry.msgid for entry in polib.pofile(str(ROOT / "locale/cron/id.po"))}
    assert {entry.msgid for entry in english} <= ours


# --- The language switch -------------------------------------------------------------------------


def language_of(response) -> str:
    found = re.search(r'<html lang="([^"]+)"', response.content.decode())
    assert found
    return found[1]


@pytest.mark.django_db
def test_the_language_is_chosen_by_a_form_and_stays(client):
    sign_in = reverse("account_login")
    assert language_of(client.get(sign_in)) == "en"
    response = client.post(reverse("set_language"), {"language": "id", "next": sign_in})
    assert (response.status_code, response["Location"]) == (302, sign_in)
    page = client.get(sign_in)
    assert language_of(page) == "id"
    assert "Masuk" in page.content.decode()


@pytest.mark.django_db
def test_without_a_choice_the_browsers_language_is_used(client):
    sign_in = reverse("account_login")
    assert language_of(client.get(sign_in, headers={"accept-language": "id-ID,id;q=0.9,en;q=0.8"})) == "id"
    assert language_of(client.get(sign_in, headers={"accept-language": "fr"})) == "en"


@pytest.mark.django_db
def test_the_switch_leads_to_no_other_site(client):
    response = client.post(reverse("set_language"), {"language": "id", "next": "https://example.com/"})
    assert response["Location"] == "/"
    assert client.get(reverse("set_language")).status_code == 405


def test_every_page_has_the_switch_with_each_language_in_its_own_name(admin):
    admin.cookies["django_language"] = "id"
    page = admin.get(reverse("monitors:overview")).content.decode()
    assert re.search(r'lang="en" aria-pressed="false">English<', page)
    assert re.search(r'lang="id" aria-pressed="true">Bahasa Indonesia<', page)
    admin.cookies["django_language"] = "en"
    page = admin.get(reverse("monitors:overview")).content.decode()
    assert re.search(r'<button name="language" value="id" lang="id" aria-pressed="false">', page)
    assert re.search(r'<button name="language" value="en" lang="en" aria-pressed="true">', page)
