"""The project itself as an app, so that Django finds its management commands and system checks."""

from django.apps import AppConfig


class TianjiConfig(AppConfig):
    name = "tianji"
    label = "tianji"

    def ready(self) -> None:
        from tianji import checks  # noqa: F401  (registers the system checks)
