"""The URLs of the whole site."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from core import theme
from notifications.views import links
from tianji import health

admin.autodiscover()
# The admin site's own sign-in form has neither the second factor nor the limit on failed sign-ins.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.site_header = admin.site.site_title = "Tianji"

handler500 = "tianji.errors.failed"

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("healthz", health.healthz, name="healthz"),
    path("language/", require_POST(set_language), name="set_language"),
    path("theme/", theme.set_theme, name="set_theme"),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.allauth_urls")),
    path("channels/", include("notifications.urls")),
    path("acknowledge/<str:token>/", links.acknowledge, name="acknowledge"),
    path("", include("accounts.urls")),
    path("api/", include("api.urls")),
    path("", include("monitors.api.urls")),
    path("", include("monitors.urls")),
]
