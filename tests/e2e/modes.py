"""How readers differ: their language, their colours and their screen; and the words that they read."""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tests.e2e.conftest import DESKTOP, PHONE
from tests.support.product import ROOT


@dataclass(frozen=True, slots=True)
class Mode:
    """One kind of reader."""

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
        """What makes a browser context of Playwright's the one of this reader."""
        touch = {"has_touch": True, "is_mobile": True} if self.phone else {}
        return {"viewport": self.viewport, "locale": self.language, "color_scheme": self.scheme, **touch}


# With desktop-en-light, which is what all other browser tests are in, each pair of two is there once.
MODES = (Mode("phone", "id", "light"), Mode("desktop", "id", "dark"), Mode("phone", "en", "dark"))


class _Complete(gettext.NullTranslations):
    """Behind a catalog: what it does not have is an error, and not English."""

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
    """What the pages say in one language, asked for by the message of the source.

    Values fill in its placeholders: `say("%(name)s is up", name="Backup")`.
    """

    def __init__(self, language: str) -> None:
        self._english = language == "en"

    def __call__(self, message: str, /, **values: object) -> str:
        # Looked up for English too: a message that no page has any more shall not be waited for.
        said = _catalog().gettext(message)
        return _filled(message if self._english else said, values)

    def many(self, one: str, more: str, number: int, /, **values: object) -> str:
        """Return what is said of `number` things."""
        said = _catalog().ngettext(one, more, number)
        return _filled((one if number == 1 else more) if self._english else said, values)

    def units(self) -> list[str]:
        """Return the symbols of day, hour, minute and second."""
        english = "d,h,min,s"
        said = _catalog().pgettext("units: days, hours, minutes, seconds", english)
        return (english if self._english else said).split(",")


def _filled(message: str, values: dict[str, object]) -> str:
    return message % values if values else message
