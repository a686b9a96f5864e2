"""What a kind of channel is: the fields that people fill in, and how a message leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from django.utils.functional import Promise

    from notifications.transports.base import Outgoing, Result

    Words = str | Promise

Widget = Literal["text", "url", "secret", "lines", "choice", "yes"]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a channel of a kind needs to know: a member of `Channel.config`.

    A `secret` one is sealed at rest and never shown; what is kept of it is text. `clean` takes what was
    entered (text, without white space around it; a bool for "yes"; for "lines" a list of them, or one text
    with line breaks) and returns what is kept. One that is not `asked` is kept with the others, but no form
    has it: the program sets it.

    Raises of `clean`: ValidationError, which says what is allowed.
    """

    name: str
    label: Words
    help: Words = ""
    widget: Widget = "text"
    required: bool = True
    secret: bool = False
    max_length: int = 500
    placeholder: str = ""
    choices: tuple[tuple[str, Words], ...] = ()
    default: Any = None
    clean: Callable[[Any], Any] | None = None
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel.

    `where` are the steps in which people find what the fields ask for; `shown` makes of a config (in the
    clear) what a page shows of it to those who may change it, and of one without secrets to the others.
    `merges`: several events may be told in one message. Where it is False, the other side keeps a record
    of each outage by `Outgoing.thread`. `spacing` are the seconds that it wants between two messages.
    """

    slug: str
    label: Words
    about: Words
    fields: tuple[Field, ...]
    send: Callable[[Mapping[str, Any], Outgoing], Result]
    shown: Callable[[Mapping[str, Any], bool], str]
    where: tuple[Words, ...] = ()
    documentation: str = ""
    merges: bool = True
    spacing: float = 0.0

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)
