"""All addresses of the site."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from tianji import health

# The admin site's own sign-in form knows neither the second factor nor the limit on failed sign-ins.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.site_header = admin.site.site_title = "Tianji"

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("healthz", health.healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("channels/", include("notifications.urls")),
    path("", include("accounts.urls")),
    path("api/", include("tianji.api_urls")),
    path("", include("monitors.api.urls")),
    path("", include("monitors.urls")),
]
