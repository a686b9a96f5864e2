"""Users of the admin site, and a workspace with one of everything."""

from tests.support.admin_site import root, samples, superuser

__all__ = ["root", "samples", "superuser"]
