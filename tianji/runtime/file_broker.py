"""A folder as Celery's broker, for a single machine without Redis."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from time import monotonic
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

SCHEME = "tianji-files"


class Channel(filesystem.Channel):
    """Kombu's channel, but with messages that appear complete or not at all.

    Kombu's file exists before it is written. A worker that takes it too early reads nothing, and exits.
    """

    # Kombu's own classes disagree about the parameters.
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        # Sorted by name, the oldest message comes first.
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        unfinished = folder / f".{name}.new"
        try:
            unfinished.write_bytes(str_to_bytes(dumps(payload)))
            os.replace(unfinished, folder / name)
        except OSError as error:
            raise ChannelError(f"Cannot add a message to {folder}: {error}") from error


class Transport(filesystem.Transport):
    Channel = Channel


def register() -> None:
    """Make `broker_url = "tianji-files://"` use this transport."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
