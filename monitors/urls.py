"""The addresses of the monitors' pages."""

from django.urls import URLPattern, URLResolver, include, path

from monitors.views import bulk, log, monitors, overview, tokens, usage

app_name = "monitors"

_token: list[URLPattern] = [
    path("show/", tokens.show, name="show_token"),
    path("rotate/", tokens.rotate, name="rotate_token"),
    path("extend/", tokens.extend, name="extend_token"),
    path("end/", tokens.end, name="end_token"),
    path("rename/", tokens.rename, name="rename_token"),
    path("revoke/", tokens.revoke, name="revoke_token"),
]

_monitor: list[URLPattern | URLResolver] = [
    path("", monitors.detail, name="detail"),
    path("edit/", monitors.edit, name="edit"),
    path("pause/", monitors.pause, name="pause"),
    path("resume/", monitors.resume, name="resume"),
    path("delete/", monitors.delete, name="delete"),
    path("heartbeats/", log.heartbeats, name="heartbeats"),
    path("incidents/", log.incidents, name="incidents"),
    path("changes/", log.changes, name="changes"),
    path("usage/", usage.usage, name="usage"),
    path("tokens/new/", tokens.issue, name="issue_token"),
    path("tokens/import/", tokens.import_, name="import_token"),
    path("tokens/<uuid:token_id>/", include(_token)),
]

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("monitors/bulk/", bulk.do, name="bulk"),
    path("tokens/", tokens.token_list, name="tokens"),
    path("monitors/new/", monitors.create, name="create"),
    path("monitors/preview/", monitors.preview, name="preview"),
    path("monitors/<uuid:public_id>/", include(_monitor)),
]
