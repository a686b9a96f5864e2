"""One vocabulary for messages, documentation and comments: the words of the field, and none of our own.

Each entry below is a form that was found in the interface and replaced, as a pattern, with what to write
instead. When a review finds another one, add it here with the sentence it was found in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polib
import pytest

from scripts.messages import ROOT, catalog
from tests.support.prose import PACKAGES, notes


@dataclass(frozen=True, slots=True)
class Form:
    """A form to avoid. `found` is a sentence that has it, `fixed` the same thing said well.

    `in_docs` is False where the documentation has a good use for the words, such as `ping` for other tools.
    """

    pattern: str
    better: str
    found: str
    fixed: str
    in_docs: bool = True

    def __str__(self) -> str:
        return self.found

    def search(self, text: str) -> str:
        """Return where `text` has the form, with the words around it, or ""."""
        # Lines of the documentation are wrapped anywhere.
        text = " ".join(text.split())
        match = re.search(self.pattern, text, re.IGNORECASE)
        return text[max(0, match.start() - 80) : match.end() + 80] if match else ""


ENGLISH = (
    # --- Notifications
    Form(
        r"\btold\b(?! apart)",
        "notified, or say what is sent",
        "People are told at 00:03:42 unless a heartbeat arrives",
        "Alerts at 00:03:42 unless a heartbeat arrives. The two are told apart by their labels.",
    ),
    Form(
        r"\btell(?:s|ing)? (?:about|of|people|nobody|anybody|somebody|everybody|this|these|them)\b",
        "notify, or send a notification",
        "This ends the incident and tells people that it has recovered.",
        "This resolves the incident and notifies these channels. It tells you how to fix it.",
    ),
    Form(
        r"^(?:tell|tells about|tells|telling|no longer tell)$",
        "notify, or Monitors as a label",
        "Tells about",
        "Notify",
    ),
    Form(
        r"\bhear(?:s|d|ing)?\b",
        "is subscribed to, or is notified of",
        "No channel hears of it.",
        "No channel is subscribed to this monitor. Last heartbeat: 14:03.",
    ),
    Form(
        r"\b(?:is|are|was|were) said to\b",
        "is notified",
        "It is said to the channel.",
        "Sent to the channel.",
    ),
    Form(
        r"\bnobody\b",
        "no notifications, no one, or who can do it",
        "Maintenance: times in which nobody is notified",
        "Maintenance windows: no notifications are sent",
    ),
    Form(
        r"\bsomebody\b",
        "someone, or who it is",
        "Make somebody else an owner first.",
        "Make someone else an owner first.",
    ),
    Form(
        r"\bkinds? of (?:an? )?channels?\b|\bof the kind\b|\b(?:find a|no) kind\b",
        "integration",
        "a kind of channel that this version does not know",
        "an integration that this version does not support",
    ),
    Form(
        r"\bdestinations?\b",
        "channel, or the address by its name",
        "Where it goes: the destination.",
        "Where it goes: the channel.",
        in_docs=False,
    ),
    Form(
        r"\bother side\b",
        "the provider, or Last response",
        "What the other side said last: 403",
        "Last response: 403",
    ),
    Form(
        r"\b(?:not|doesn't|didn't|notifications?) get through\b|\b(?:gets|got) through\b",
        "is not delivering, or failed",
        "No notifications get through.",
        "No notifications are delivered.",
    ),
    Form(
        r"\bcounts? as broken\b|\bbroken since\b|\bchannels? (?:is )?\W*broken\b|\bbroken channel|^broken$",
        "failing",
        "It counts as broken since 14:03.",
        "Failing since 14:03 (20 attempts in a row).",
    ),
    Form(r"\bwithdrawn\b", "skipped, with the reason", "Withdrawn: snoozed", "Skipped: snoozed"),
    Form(
        r"\bowed?\b",
        "pending, or the notification itself",
        "Incidents, and what channels are owed",
        "Incidents and their pending deliveries",
    ),
    Form(
        r"\bwhat (?:has )?(?:became|becomes|become) of\b",
        "the outcome, or what happens to",
        "What became of the deliveries",
        "The outcome of the deliveries",
    ),
    Form(r"^not needed$", "skipped, with the reason", "Not needed", "Skipped", in_docs=False),
    Form(
        r"\bin the same breath\b",
        "in one digest",
        "Both are sent in the same breath.",
        "Both are sent in one digest.",
    ),
    # --- Statuses and incidents
    Form(
        r"\b(?:is|are|was|were) (?:still )?down since\b|\bstill down, (?:for|since)\b",
        "Down since 14:03, or has been down for 2 h",
        "It is down since 14:03.",
        "Down since 14:03. It has been down since the last deployment.",
    ),
    Form(
        r"\bup again, since\b|\b(?:is|are) up again\b",
        "recovered at, or has since recovered",
        "Meanwhile it is up again, since 14:03.",
        "It has since recovered, at 14:03.",
    ),
    Form(
        r"\bup again\b",
        "recovered, or recovery",
        "Events: down, up again",
        "Events: down, recovery",
        in_docs=False,
    ),
    Form(
        r"\b(?:no|not a) good one\b",
        "out of range",
        "The value of “Oven” is not a good one.",
        "The value of “Oven” is out of range.",
    ),
    Form(
        r"\bcounts? as\b",
        "the status or the cause itself",
        "A heartbeat that is out of range counts as a failure.",
        "A heartbeat that is out of range opens an incident.",
        in_docs=False,
    ),
    Form(
        r"\b(?:saw|sees|see|seen) to (?:it|them|this)\b",
        "acknowledged",
        "Somebody saw to it before.",
        "Already acknowledged.",
    ),
    Form(r"\btolerance\b", "failure threshold", "Tolerance and reminders", "Failure threshold and reminders"),
    Form(
        r"\bgrace ends\b", "grace period ends", "Grace ends, it is down", "Grace period ends, alert is sent"
    ),
    # --- Pushes and tokens
    Form(
        r"\bpings?\b|\bpinged\b",
        "push for the request, heartbeat for the event",
        "The monitor was pinged.",
        "A heartbeat was received.",
        in_docs=False,
    ),
    Form(
        r"\brefusals?\b|\brefused push(?:es)?\b|\bpush(?:es)? (?:URLs? )?(?:is|are|was|were) refused\b",
        "rejected push",
        "None works: every push is refused.",
        "No active tokens: every push is rejected.",
    ),
    Form(
        r"\brefus(?:e|es|ed|ing)\b",
        "rejected, or not allowed",
        "Programs that use it are refused.",
        "Programs that use it lose access.",
        in_docs=False,
    ),
    Form(
        r"\bhow long shall\b|\btime of (?:it|theirs) ends\b|\bnow works? on\b|\bworks? on (?:for a|until)\b",
        "keep working, or has no expiry",
        "How long shall the old token work?",
        "How long should the old token keep working?",
    ),
    Form(r"\bshall\b", "should, or the plain verb", "How long shall it last?", "How long should it last?"),
    Form(
        r"\bgo(?:es)? on (?:working|pushing|sending|with)\b|\b(?:it|that|which|one|outages?) go(?:es)? on\b",
        "keeps working, or continues",
        "The old token goes on working.",
        "The old token keeps working.",
    ),
    Form(
        r"\b(?:tokens?|keys?|links?) (?:that )?ends?\b"
        r"|\bends? (?:that|this|the|an?) (?:old )?(?:one|token|key|link)\b",
        "expires, or revoke",
        "Wait, or end that one.",
        "Wait, or revoke the old token. It expires at 14:03.",
    ),
    Form(
        r"(?<!are )\ball the same\b",
        "anyway",
        "Rotate again all the same",
        "Rotate again anyway. They are all the same.",
    ),
    Form(
        r"\buse a token you have\b",
        "Import an existing token",
        "Use a token you have",
        "Import an existing token",
    ),
    Form(
        r"\bprograms (?:that push|to copy)\b",
        "Code examples",
        "Programs that push, to copy",
        "Code examples. Programs that use the API need a key.",
    ),
    # --- People and what they did
    Form(r"\bdeeds?\b", "audit log", "The deeds of this workspace", "The audit log of this workspace"),
    Form(
        r"^(?:had the .* shown|made (?:the|a|an|it|%).*)$",
        "Viewed, or Created",
        "Had the push token shown",
        "Viewed the push token",
        in_docs=False,
    ),
    Form(
        r"\bmake (?:a|an|the|your) (?:new )?(?:key|token|secret|account|channel|monitor|workspace)\b",
        "create, add or generate",
        "Make a new secret",
        "Generate a new secret",
        in_docs=False,
    ),
    Form(
        r"(?:^|[.:;] )who (?:has|have|is|does|cannot|wants|runs|uses|knows|looks) [^?]*$",
        "people who, or anyone who",
        "Add a member. Who has no account yet gets one.",
        "Add a member. People without an account get one.",
        in_docs=False,
    ),
    Form(
        r"\bsigns? up by (?:themselves|himself|yourself)\b",
        "sign-up is by invitation",
        "No one signs up by themselves here",
        "Sign-up is by invitation",
    ),
    Form(
        r"\bno (?:member|owner|monitor|channel|use|more use) any ?more\b",
        "no longer",
        "anna@example.com is no member any more.",
        "anna@example.com is no longer a member.",
    ),
    Form(
        r"\b(?:not|n't|nothing|no \w+) (?:[^.]* )?any more\b",
        "no longer",
        "This token does not work any more.",
        "This token no longer works. No more than 20.",
        in_docs=False,
    ),
    Form(
        r"\b(?<!there )is no (?:member|owner|ETag|JSON|number|email|superuser)\b",
        "is not a",
        "If-Match is no ETag.",
        "If-Match is not a valid ETag. There is no owner.",
    ),
    Form(r"\bset-up links?\b", "setup link", "Open the set-up link.", "Open the setup link."),
    # --- Errors and forms
    Form(
        r"\bsay who you are\b|\bsuch thing\b|\bhow things stand\b|\bmade a mistake\b",
        "the usual title of the status, such as Not found",
        "There is no such thing here",
        "Not found",
    ),
    Form(
        r"\bso already\b|\balready so\b",
        "Nothing to change, or unchanged",
        "That was so already.",
        "Nothing to change. 3 unchanged.",
    ),
    Form(
        r"\bmeanwhile\b(?!,)",
        "in the meantime, or has since",
        "Somebody changed the members meanwhile.",
        "Someone else changed the members in the meantime. Meanwhile, the page stays.",
    ),
    Form(
        r"\bevery so often\b|\b(?<!not )so many (?:times|seconds|minutes|hours|days|failures|pushes)\b",
        "At a regular interval, Maximum, or the number by its name",
        "At most so many times",
        "Maximum reminders",
    ),
    # --- Other
    Form(
        r"\bof (?:its|their) own accord\b|\bby (?:itself|themselves)\b",
        "automatically, or on its own",
        "A snooze always ends by itself.",
        "A snooze always ends automatically.",
    ),
    Form(r"\b(?:any|every)body\b", "anyone, or everyone", "Names mention anybody.", "Names mention no one."),
    Form(
        r"\banew\b|\bstart(?:s|ed|ing)? (?:everything|it all|the processes) again\b",
        "again, or restart",
        "2 files changed; starting everything again.",
        "2 files changed; restarting.",
    ),
    Form(
        r"\bbut for (?:the|these|those|what)\b",
        "except for",
        "All tests but for the slow ones.",
        "All tests except for the slow ones.",
    ),
    Form(
        r"\bgone wild\b|\bgoes wild\b",
        "runaway",
        "One sender gone wild must not fill the database.",
        "A runaway sender must not fill the database.",
    ),
    Form(
        r"\bwhere there (?:is|are) (?:one|some|none|any)\b|\bwhere that is (?:known|possible)\b",
        "if there is one, or if possible",
        "The newest one, where there is one.",
        "The newest one, if any.",
    ),
    Form(
        r"\b(?:can't|cannot|can|to) be had\b",
        "not available, or not possible",
        "What can't be had here is 422.",
        "What is not possible here is 422.",
    ),
    Form(
        r"\bwho (?:is out of order|must not wait|looks again)\b",
        "a transaction, or whatever it is",
        "Who is out of order, or must not wait, skips what is locked.",
        "A transaction that can't keep this order skips locked rows.",
    ),
    Form(r"^as usual$", "Default", "As usual", "Default", in_docs=False),
    Form(
        r"\bput right\b",
        "fix",
        "Nothing is shown until the filter above is put right.",
        "Fix the filter above to see results.",
    ),
)

INDONESIAN = (
    Form(
        r"\btidak ada yang diberi ?tahu\b",
        "tidak ada pemberitahuan yang dikirim",
        "Selama itu tidak ada yang diberi tahu.",
        "Selama itu tidak ada pemberitahuan yang dikirim.",
    ),
    Form(
        r"\bmendengar\b",
        "menerima pemberitahuan",
        "Bagi yang hanya perlu mendengar tentang gangguan lama.",
        "Bagi yang hanya perlu menerima pemberitahuan tentang gangguan lama.",
    ),
    Form(
        r"\b(?:ke)?hening(?:an)?\b",
        "heartbeat terlewat",
        "Monitor yang hening tidak diketahui.",
        "Heartbeat yang terlewat tidak terdeteksi.",
    ),
    Form(r"\bpihak lain\b", "respons terakhir", "Jawaban pihak lain: 403", "Respons terakhir: 403"),
    Form(
        r"\b(?:dianggap|kanal|kanal ini) rusak\b|\brusak sejak\b|^rusak$",
        "gagal mengirim",
        "Kanal rusak: Ops",
        "Kanal gagal mengirim: Ops",
    ),
    Form(r"\btoleransi\b", "ambang kegagalan", "Toleransi dan pengingat", "Ambang kegagalan dan pengingat"),
    Form(
        r"\bnilainya? (?:tidak|bukan nilai yang) baik\b|\bbukan nilai yang baik\b",
        "di luar rentang",
        "Penyebab: nilainya tidak baik.",
        "Penyebab: nilai di luar rentang.",
    ),
)

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)


@cache
def messages() -> tuple[str, ...]:
    """The English messages of the interface."""
    found = polib.pofile(str(catalog("id")))
    return tuple(text for entry in found for text in (entry.msgid, entry.msgid_plural) if text)


@cache
def translations() -> tuple[str, ...]:
    found = polib.pofile(str(catalog("id")))
    return tuple(text for entry in found for text in (entry.msgstr, *entry.msgstr_plural.values()) if text)


@cache
def paragraphs(language: str) -> tuple[tuple[str, str], ...]:
    """The paragraphs of the documentation in "en" or "id", each with its file, without code and addresses."""
    beside = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md")
    files = [*(ROOT / name for name in beside), *(ROOT / "docs").glob("*.md")]
    if language != "en":
        files = [*(ROOT / "docs" / language).glob("*.md")]
    return tuple(
        (str(path.relative_to(ROOT)), paragraph)
        for path in sorted(files)
        for paragraph in prose(path.read_text()).split("\n\n")
    )


@cache
def comments() -> tuple[tuple[str, str], ...]:
    """The docstrings, comments and help texts of the product, each with its place, without code."""
    return tuple((f"{note.file}:{note.line}", prose(note.text)) for note in notes())


def prose(page: str) -> str:
    return _CODE.sub("``", _FENCE.sub("", page))


def report(form: Form, found: list[str]) -> str:
    return "\n".join([f"Say “{form.better}” instead, as in “{form.fixed}”:", *found])


def in_pages(form: Form, language: str) -> Iterator[str]:
    for name, paragraph in paragraphs(language):
        if found := form.search(paragraph):
            yield f"{name}: {found}"


@pytest.mark.parametrize("form", [*ENGLISH, *INDONESIAN], ids=str)
def test_a_pattern_finds_its_sentence_and_leaves_the_better_one_alone(form):
    assert form.search(form.found)
    assert form.search(form.found.replace(" ", "\n  "))
    assert not form.search(form.fixed)


@pytest.mark.parametrize("form", ENGLISH, ids=str)
def test_no_message_is_in_words_of_our_own(form):
    found = [text for text in messages() if form.search(text)]
    assert not found, report(form, found)


@pytest.mark.parametrize("form", [form for form in ENGLISH if form.in_docs], ids=str)
def test_no_page_of_the_documentation_is_in_words_of_our_own(form):
    found = list(in_pages(form, "en"))
    assert not found, report(form, found)


@pytest.mark.parametrize("form", [form for form in ENGLISH if form.in_docs], ids=str)
def test_no_comment_or_help_of_the_product_is_in_words_of_our_own(form):
    found = [f"{place}: {words}" for place, text in comments() if (words := form.search(text))]
    assert not found, report(form, found)


@pytest.mark.parametrize("form", INDONESIAN, ids=str)
def test_no_translation_is_a_literal_one(form):
    found = [*(text for text in translations() if form.search(text)), *in_pages(form, "id")]
    assert not found, report(form, found)


def test_comments_docstrings_and_help_texts_of_all_our_files_are_read():
    text = {place.rpartition(":")[0]: words for place, words in comments()}
    assert {Path(file).suffix for file in text} >= {".py", ".html", ".css", ".js", ".po", ".yml", ".toml"}
    assert {file.partition("/")[0] for file in text} >= {
        *PACKAGES,
        "templates",
        "static",
        "locale",
        "Makefile",
    }
    assert len(comments()) > 2000
    assert "Fills an empty installation" in " ".join(words for _place, words in comments())


def test_code_and_addresses_are_not_read():
    page = "See `told`, [this](told.md).\n\n```sh\necho told\n```\n\nAnd this."
    assert not re.search("told", prose(page))
    assert "And this." in prose(page)
