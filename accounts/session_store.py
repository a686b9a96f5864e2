"""Sessions in the database, of no use to whoever has only the database.

The browser's cookie has a random key; the row has its SHA-256, by which it is found. The data is encrypted
with SECRET_KEY, because it may hold a secret: the key of a password link that was opened, or the secret of an
authenticator app that is being set up.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends import db
from django.utils import timezone

from accounts.sign_in_models import Session
from core import credentials

_PURPOSE = b"tianji sessions"


class SessionStore(db.SessionStore):
    """Django's sessions in the database, whose rows have no key."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def encode(self, session_dict: dict[str, Any]) -> str:
        return credentials.seal(super().encode(session_dict), purpose=_PURPOSE)

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        opened = credentials.unseal(str(session_data), purpose=_PURPOSE)
        return {} if opened is None else super().decode(opened)

    def exists(self, session_key: str | None = None) -> bool:
        return super().exists(credentials.digest(session_key or ""))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = credentials.digest(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            super().delete(credentials.digest(key))

    def _get_session_from_db(self) -> Session | None:
        digest = credentials.digest(self.session_key or "")
        found = Session.objects.filter(session_key=digest, expire_date__gt=timezone.now()).first()
        if found is None:
            self._session_key = None
        return found

    # Django's own would read and write rows with the key itself.

    async def aexists(self, session_key: str | None = None) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        return await sync_to_async(self.create_model_instance)(data)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    async def _aget_session_from_db(self) -> Session | None:
        return await sync_to_async(self._get_session_from_db)()
