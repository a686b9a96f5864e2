"""What a channel keeps secret is sealed under one purpose, as {"sealed": token}: a webhook's address too."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from core import credentials

_BEFORE, _PURPOSE = b"tianji webhook secrets", b"tianji channel secrets"


def seal(apps: Any, schema_editor: Any) -> None:
    channels = apps.get_model("notifications", "Channel").objects
    for channel in channels.filter(kind="webhook").only("config").order_by("pk").iterator():
        config = dict(channel.config)
        if isinstance(token := config.pop("sealed_secret", None), str):
            secret = credentials.unseal(token, purpose=_BEFORE)
            # One that cannot be read stays: the channel goes on saying so.
            config["secret"] = {"sealed": token if secret is None else _sealed(secret)}
        if isinstance(url := config.get("url"), str):
            config["url"] = {"sealed": _sealed(url)}
        if config != channel.config:
            channels.filter(pk=channel.pk).update(config=config)


def _sealed(text: str) -> str:
    return credentials.seal(text, purpose=_PURPOSE)


class Migration(migrations.Migration):
    dependencies = [("notifications", "0004_plan_deliveries")]
    operations = [migrations.RunPython(seal, migrations.RunPython.noop)]
