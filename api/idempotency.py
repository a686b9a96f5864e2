"""`Idempotency-Key`: a POST sent twice with the same key runs once and gets the same response."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import StoredResponse
from core import credentials
from core.clock import database_now

LIFETIME = timedelta(hours=24)
# Longer than any request takes: an older one without a response was cut off.
ABANDONED_AFTER = timedelta(seconds=60)
_PURPOSE = b"tianji stored answers"


class KeyReused(Exception):
    """The key was already used for a different request."""


class StillRunning(Exception):
    """The first request with this key is still in progress."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that can be replayed: its HTTP status, headers and JSON content."""

    status: int
    headers: dict[str, str]
    data: Any
    repeated: bool = False


def once(*, owner: str, key: str, request_digest: str, run: Callable[[], Answer]) -> Answer:
    """Return the response of `run`, or the stored response to the same request.

    `run` shares one transaction with storing its response, so that both are committed or neither. If it
    raises, nothing is stored, and the key can be used again.

    Args:
        owner: who sent the key; the same key of two owners does not clash.
        request_digest: of method, path and body.

    Raises:
        KeyReused: the key was already used for a different request.
        StillRunning: the first request with this key is still in progress.
    """
    with transaction.atomic():
        claimed = _claim(owner, key, request_digest)
        if claimed is None:
            return _stored(owner, key, request_digest)
        answer = run()
        _keep(claimed, answer)
    return answer


def once_outside(*, owner: str, key: str, request_digest: str, run: Callable[[], Answer]) -> Answer:
    """Like `once`, for a `run` that uses the network and must not hold a transaction open.

    If the process dies in between, the key can be used again after ABANDONED_AFTER.
    """
    abandoned = StoredResponse.objects.filter(owner=owner, key=key, status=None)
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
    """Delete the stored responses that have expired; return how many there were."""
    return StoredResponse.objects.filter(created_at__lt=database_now() - LIFETIME).delete()[0]


def _claim(owner: str, key: str, request_digest: str) -> StoredResponse | None:
    now = database_now()
    StoredResponse.objects.filter(owner=owner, key=key, created_at__lt=now - LIFETIME).delete()
    try:
        with transaction.atomic():
            return StoredResponse.objects.create(
                owner=owner, key=key, request_digest=request_digest, created_at=now
            )
    except IntegrityError:
        return None


def _stored(owner: str, key: str, request_digest: str) -> Answer:
    stored = StoredResponse.objects.filter(owner=owner, key=key).first()
    if stored is None:
        # The first request failed and released the key in between.
        raise StillRunning
    if stored.request_digest != request_digest:
        raise KeyReused
    content = credentials.unseal(stored.sealed, purpose=_PURPOSE) if stored.status else None
    if stored.status is None or content is None:
        raise StillRunning
    answer = json.loads(content)
    return Answer(stored.status, answer["headers"], answer["data"], repeated=True)


def _keep(claimed: StoredResponse, answer: Answer) -> None:
    # Encrypted, because it may contain a new token.
    content = json.dumps({"headers": answer.headers, "data": answer.data})
    claimed.status, claimed.sealed = answer.status, credentials.seal(content, purpose=_PURPOSE)
    claimed.save(update_fields=["status", "sealed"])
