"""URLs of monitors, push tokens and maintenance windows in the management API."""

from django.urls import path, re_path

from monitors.api import maintenance, monitors, tokens

# Any text: the view explains what a valid slug is, which a plain 404 would not.
_SLUG = r"(?P<slug>[^/]+)"

urlpatterns = [
    path("monitors/", monitors.MonitorList.as_view(), name="monitors"),
    re_path(rf"^monitors/by-slug/{_SLUG}/$", monitors.MonitorBySlug.as_view(), name="monitor_by_slug"),
    path("monitors/<uuid:public_id>/", monitors.MonitorDetail.as_view(), name="monitor"),
    path("monitors/<uuid:public_id>/pause/", monitors.Pause.as_view(), name="pause"),
    path("monitors/<uuid:public_id>/resume/", monitors.Resume.as_view(), name="resume"),
    path("monitors/<uuid:public_id>/tokens/", tokens.TokenList.as_view(), name="tokens"),
    path("monitors/<uuid:public_id>/tokens/<uuid:token_id>/", tokens.TokenDetail.as_view(), name="token"),
    path("monitors/<uuid:public_id>/tokens/<uuid:token_id>/rotate/", tokens.Rotate.as_view(), name="rotate"),
    path(
        "monitors/<uuid:public_id>/tokens/<uuid:token_id>/overlap/", tokens.Overlap.as_view(), name="overlap"
    ),
    path("monitors/<uuid:public_id>/tokens/<uuid:token_id>/revoke/", tokens.Revoke.as_view(), name="revoke"),
    path("maintenance/", maintenance.MaintenanceList.as_view(), name="maintenance"),
    path("maintenance/<uuid:public_id>/", maintenance.MaintenanceDetail.as_view(), name="maintenance_window"),
    path("maintenance/<uuid:public_id>/end/", maintenance.EndMaintenance.as_view(), name="end_maintenance"),
]
