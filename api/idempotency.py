"""A POST that is sent twice under one `Idempotency-Key` is done once and answered the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import StoredAnswer
from core import credentials
from core.clock import database_now

KEPT_FOR = timedelta(hours=24)
# Longer than any request takes: what was begun before that was cut off.
ABANDONED_AFTER = timedelta(seconds=60)
_PURPOSE = b"tianji stored answers"


class KeyReused(Exception):
    """The key was used for another request."""


class StillRunning(Exception):
    """The first request with this key has not been answered yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to be given again: its HTTP status, its headers and its JSON content."""

    status: int
    headers: dict[str, str]
    data: Any
    repeated: bool = False


def once(*, owner: str, key: str, request_digest: str, run: Callable[[], Answer]) -> Answer:
    """Return what `run` answers, or what it answered to the same request before.

    `run` happens in one transaction with the record of its answer: both are there or neither. It
    raises where there is nothing to repeat, and is then free to be tried again.

    Args:
        owner: who uses the key, so that nobody meets another one's.
        request_digest: of method, path and body.

    Raises:
        KeyReused, StillRunning: as they say.
    """
    with transaction.atomic():
        claimed = _claim(owner, key, request_digest)
        if claimed is None:
            return _stored(owner, key, request_digest)
        answer = run()
        _keep(claimed, answer)
    return answer


def once_outside(*, owner: str, key: str, request_digest: str, run: Callable[[], Answer]) -> Answer:
    """Do as `once`, for a `run` that talks to others and so must not hold a transaction open.

    Where the process dies in between, the key is free again after ABANDONED_AFTER.
    """
    abandoned = StoredAnswer.objects.filter(owner=owner, key=key, status=None)
    abandoned.filter(created_at__lt=database_now() - ABANDONED_AFTER).delete()
    claimed = _claim(owner, key, request_digest)
    if claimed is None:
        return _stored(owner, key, request_digest)
    try:
        answer = run()
    except BaseException:
        claimed.delete()
        raise
    _keep(claimed, answer)
    return answer


def forget_old() -> int:
    """Delete the answers that need not be repeated any more; return how many there were."""
    return StoredAnswer.objects.filter(created_at__lt=database_now() - KEPT_FOR).delete()[0]


def _claim(owner: str, key: str, request_digest: str) -> StoredAnswer | None:
    now = database_now()
    StoredAnswer.objects.filter(owner=owner, key=key, created_at__lt=now - KEPT_FOR).delete()
    try:
        with transaction.atomic():
            return StoredAnswer.objects.create(
                owner=owner, key=key, request_digest=request_digest, created_at=now
            )
    except IntegrityError:
        return None


def _stored(owner: str, key: str, request_digest: str) -> Answer:
    stored = StoredAnswer.objects.filter(owner=owner, key=key).first()
    if stored is None:
        # It was given up between the two looks.
        raise StillRunning
    if stored.request_digest != request_digest:
        raise KeyReused
    content = credentials.unseal(stored.sealed, purpose=_PURPOSE) if stored.status else None
    if stored.status is None or content is None:
        raise StillRunning
    kept = json.loads(content)
    return Answer(stored.status, kept["headers"], kept["data"], repeated=True)


def _keep(claimed: StoredAnswer, answer: Answer) -> None:
    # Sealed, because it may hold a new token.
    content = json.dumps({"headers": answer.headers, "data": answer.data})
    claimed.status, claimed.sealed = answer.status, credentials.seal(content, purpose=_PURPOSE)
    claimed.save(update_fields=["status", "sealed"])
