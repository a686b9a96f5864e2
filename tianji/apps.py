"""The project itself as an app, so that Django finds its management commands and system checks."""

from django.apps import AppConfig


class TianjiConfig(AppConfig):
    name = "tianji"
    label = "tianji"

    def ready(self) -> None:
        # Django finds the app before it has loaded any other, and the checks need them.
        from tianji import checks  # noqa: F401  (registers the system checks)
