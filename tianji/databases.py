"""How Tianji connects to its databases: the options that settings.py adds to DATABASE_URL."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

# How long a statement may run or wait for a lock, in milliseconds. After that a push gets a 503 and is
# retried by its sender, which is better than a sender that hangs.
_STATEMENT_TIMEOUT_MS = 15_000
_LOCK_TIMEOUT_MS = 5_000
# How long a transaction may be idle, with its locks: its process may be gone, unnoticed by a proxy between.
_IDLE_IN_TRANSACTION_MS = 15_000
# Longer than any statement may run: then the server, or what is between, hangs.
_RESPOND_SECONDS = 20.0


def set_up_postgresql(database: dict[str, Any], *, pool: int, prepare: bool) -> None:
    """Add the options of PostgreSQL to `database`, with at most `pool` connections a process.

    Args:
        prepare: whether repeated statements are prepared; a pooler in between may not support that.
    """
    from core.postgresql import responding_within

    database.setdefault("OPTIONS", {}).update(
        {
            "connect_timeout": 2,
            # A connection whose other end is gone is noticed within seconds, not within hours.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            # Repeated statements are planned once per connection. A pooler between Tianji and
            # PostgreSQL must support prepared statements (docs/operations.md), or be spared them.
            "server_side_binding": True,
            **({"prepare_threshold": 5} if prepare else {}),
            "options": (
                f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c lock_timeout={_LOCK_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
            ),
            "pool": {
                "connection_class": responding_within(_RESPOND_SECONDS),
                "min_size": 1,
                "max_size": pool,
                "timeout": 5,
                # The pool tries to reconnect at increasing intervals until it gives up; then the next
                # query starts over. So it is noticed within seconds when the database is back.
                "reconnect_timeout": 2,
            },
        }
    )
    database["CONN_MAX_AGE"] = 0
    database["CONN_HEALTH_CHECKS"] = True
    # They live outside transactions, where a pooler may give the next statement another connection.
    database["DISABLE_SERVER_SIDE_CURSORS"] = True


def set_up_sqlite(database: dict[str, Any]) -> None:
    """Add the options of SQLite to `database`."""
    database.setdefault("OPTIONS", {}).update(
        {
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,
            # In WAL mode, NORMAL never corrupts the file, but a power cut may lose the last commits.
            # A 200 promises a committed heartbeat, which requires FULL.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728;",
        }
    )
    database["CONN_MAX_AGE"] = None


def replica_of(primary: dict[str, Any], replica: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the replica that DATABASE_REPLICA_URL names, with the options of `primary`."""
    if replica["ENGINE"] != primary["ENGINE"]:
        raise ImproperlyConfigured("DATABASE_REPLICA_URL must start with postgresql://, like DATABASE_URL")
    ours = primary["OPTIONS"]
    # Everything can be read from the primary instead, so it is not waited for.
    quick = {"pool": {**ours["pool"], "timeout": 2}}
    read_only = {"options": f"{ours['options']} -c default_transaction_read_only=on"}
    # Tests have no replica of the database that they make.
    return {
        **primary,
        **replica,
        "OPTIONS": {**replica.get("OPTIONS", {}), **ours, **quick, **read_only},
        **{name: primary[name] for name in ("CONN_MAX_AGE", "CONN_HEALTH_CHECKS")},
        "TEST": {"MIRROR": "default"},
    }
