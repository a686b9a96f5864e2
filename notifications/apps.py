"""The notifications app; its receivers listen to the monitors' domain signals."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        # These import models, which exist only once all apps are loaded.
        from notifications import log_source
        from notifications.dispatch import enqueue

        enqueue.connect()
        log_source.connect()
