"""Whether SECRET_KEY is the one with which the secrets in a backup were encrypted."""

from __future__ import annotations

from core.credentials import seal, unseal
from tianji.backup.errors import BackupError

_PURPOSE, _TEXT = b"tianji.backup", "fits"
WITHOUT_IT = (
    "Without it, push URLs work but can't be shown, channel secrets have to be entered again, and second "
    "factors stop working."
)


def probe() -> str:
    """Return a text by which SECRET_KEY can be recognised, and that doesn't give it away."""
    return seal(_TEXT, purpose=_PURPOSE)


def fits(sealed: str) -> bool:
    """Return whether `sealed` was made with SECRET_KEY, or one of SECRET_KEY_FALLBACKS."""
    return unseal(sealed, purpose=_PURPOSE) == _TEXT


def require_fit(sealed: str) -> None:
    """Raise BackupError unless `sealed` was made with SECRET_KEY or a fallback."""
    if not fits(sealed):
        raise BackupError(
            "SECRET_KEY is not that of this backup, nor is one of SECRET_KEY_FALLBACKS. "
            f"{WITHOUT_IT} Set it to the one you kept (make up: put back the file secret-key in the data "
            "folder), or use --with-another-key to restore the backup nevertheless."
        )
