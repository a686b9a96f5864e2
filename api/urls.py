"""URLs of the management API, its OpenAPI document, its documentation and its problems."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView

from api.audit_log import AuditLog
from api.views import NotFoundView, problem, schema

app_name = "api"

urlpatterns = [
    path("v1/", include("monitors.api.v1_urls")),
    path("v1/", include("monitors.api.history_urls")),
    path("v1/", include("notifications.api.urls")),
    path("v1/audit-log/", AuditLog.as_view(), name="audit_log"),
    re_path(r"^v1/", NotFoundView.as_view()),
    path("schema/", schema, name="schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", template_name="api/docs.html"),
        name="docs",
    ),
    path("problems/<slug:kind>/", problem, name="problem"),
]
