"""The modes that users differ in: language, theme and screen; and the texts in each language."""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tests.e2e.conftest import DESKTOP, PHONE
from tests.support.product import ROOT


@dataclass(frozen=True, slots=True)
class Mode:
    """One combination of language, theme and screen."""

    screen: Literal["desktop", "phone"]
    language: Literal["en", "id"]
    scheme: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.screen}-{self.language}-{self.scheme}"

    @property
    def phone(self) -> bool:
        return self.screen == "phone"

    @property
    def viewport(self) -> dict[str, int]:
        return PHONE if self.phone else DESKTOP

    @property
    def context(self) -> dict[str, Any]:
        """Return the options of a Playwright browser context for this mode."""
        touch = {"has_touch": True, "is_mobile": True} if self.phone else {}
        return {"viewport": self.viewport, "locale": self.language, "color_scheme": self.scheme, **touch}


# Together with desktop-en-light, which all other browser tests use, every pair of values occurs once.
MODES = (Mode("phone", "id", "light"), Mode("desktop", "id", "dark"), Mode("phone", "en", "dark"))


class _Complete(gettext.NullTranslations):
    """The fallback of a catalog: a missing message is an error, instead of English."""

    def gettext(self, message: str) -> str:
        raise LookupError(f"no page says {message!r}: not in the catalog")

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


@cache
def _catalog() -> gettext.NullTranslations:
    catalog = gettext.translation("django", ROOT / "locale", ["id"])
    catalog.add_fallback(_Complete())
    return catalog


class Words:
    """The texts of the pages in one language, looked up by their English message.

    Values fill in its placeholders: `say("%(name)s is up", name="Backup")`.
    """

    def __init__(self, language: str) -> None:
        self._english = language == "en"

    def __call__(self, message: str, /, **values: object) -> str:
        # Looked up for English too, so that tests do not wait for a message that no longer exists.
        translated = _catalog().gettext(message)
        return _filled(message if self._english else translated, values)

    def many(self, one: str, more: str, number: int, /, **values: object) -> str:
        """Return the message for `number` things."""
        translated = _catalog().ngettext(one, more, number)
        return _filled((one if number == 1 else more) if self._english else translated, values)

    def units(self) -> list[str]:
        """Return the unit symbols for days, hours, minutes and seconds."""
        english = "d,h,min,s"
        translated = _catalog().pgettext("units: days, hours, minutes, seconds", english)
        return (english if self._english else translated).split(",")


def _filled(message: str, values: dict[str, object]) -> str:
    return message % values if values else message
