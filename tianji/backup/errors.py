"""What keeps a backup from being made or restored, as a sentence for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.core.management.base import CommandError
from django.db import Error


class BackupError(Exception):
    """It was not made or not restored; nothing was changed. The text is for the operator."""


class Damaged(BackupError):
    """The file isn't what was written: it ends too early, or something in it was changed."""


@contextmanager
def in_a_sentence(outcome: str) -> Iterator[None]:
    """Turn what went wrong in the block, on the operator's side, into a CommandError of one line.

    Args:
        outcome: a sentence that says what that means.
    """
    try:
        yield
    except BackupError as error:
        raise CommandError(f"{error} {outcome}") from error
    except (Error, psycopg.Error, OSError) as error:
        raise CommandError(f"{one_line(error)} {outcome}") from error
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {outcome}") from None


def one_line(error: Exception) -> str:
    """Return what an error says, in one line that ends with a full stop."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if said.endswith(".") else f"{said}."
