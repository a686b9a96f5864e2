"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path

from tianji import health

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("channels/", include("notifications.urls")),
    path("", include("accounts.urls")),
    path("", include("monitors.api.urls")),
    path("", include("monitors.urls")),
]
