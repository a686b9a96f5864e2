"""What an integration is: the fields that people fill in, and how it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from django.utils.functional import Promise

    from notifications.transports.base import Outgoing, Result

    StrOrPromise = str | Promise

BURST_MOST = 20
Widget = Literal["text", "url", "secret", "lines", "choice", "yes"]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of an integration: a member of `Channel.config`.

    A `secret` is encrypted at rest and never shown; its value is text. `clean` takes the input (text without
    surrounding white space; a bool for "yes"; for "lines" a list, or one text with line breaks) and returns
    the value to store. A field that is not `editable` is stored like the others but is in no form: the
    program sets it.

    `clean` raises ValidationError, which says what is allowed.
    """

    name: str
    label: StrOrPromise
    help: StrOrPromise = ""
    widget: Widget = "text"
    required: bool = True
    secret: bool = False
    max_length: int = 500
    placeholder: str = ""
    choices: tuple[tuple[str, StrOrPromise], ...] = ()
    default: Any = None
    clean: Callable[[Any], Any] | None = None
    editable: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """One integration.

    `where` lists the steps to find the values of the fields; `shown` turns a config without secrets into
    what pages show of it (its second argument: the reader may not change the channel). `merges`: several
    events may be sent as one digest. If it is False, the receiver keeps a record of each outage, by
    `Outgoing.thread`. `spacing` is the number of seconds to leave between two messages. `burst_most` is how
    many messages in 30 s the provider's limit allows; `Channel.burst` may be less.
    """

    slug: str
    label: StrOrPromise
    about: StrOrPromise
    fields: tuple[Field, ...]
    send: Callable[[Mapping[str, Any], Outgoing], Result]
    shown: Callable[[Mapping[str, Any], bool], str]
    where: tuple[StrOrPromise, ...] = ()
    documentation: str = ""
    merges: bool = True
    spacing: float = 0.0
    burst_most: int = BURST_MOST

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)
