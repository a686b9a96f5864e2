"""URLs of the monitors' pages."""

from django.urls import URLPattern, URLResolver, include, path

from monitors.views import (
    bulk,
    charts,
    code_examples,
    detail,
    first_heartbeat,
    incidents,
    log,
    maintenance,
    monitors,
    overview,
    rejected_pushes,
    timeout,
    token_rotation,
    tokens,
)

app_name = "monitors"

_token: list[URLPattern] = [
    path("show/", tokens.show, name="show_token"),
    path("rotate/", token_rotation.rotate, name="rotate_token"),
    path("extend/", token_rotation.extend, name="extend_token"),
    path("end/", token_rotation.end, name="end_token"),
    path("rename/", tokens.rename, name="rename_token"),
    path("revoke/", tokens.revoke, name="revoke_token"),
]

_monitor: list[URLPattern | URLResolver] = [
    path("", detail.detail, name="detail"),
    path("edit/", monitors.edit, name="edit"),
    path("timeout/", timeout.timeout, name="timeout"),
    path("pause/", monitors.pause, name="pause"),
    path("resume/", monitors.resume, name="resume"),
    path("delete/", monitors.delete, name="delete"),
    path("log/", log.log, name="log"),
    path("heartbeats/", log.heartbeats, name="heartbeats"),
    path("incidents/", log.incidents, name="incidents"),
    path("changes/", log.changes, name="changes"),
    path("usage/", code_examples.code_examples, name="code_examples"),
    path("first-heartbeat/", first_heartbeat.first_heartbeat, name="first_heartbeat"),
    path("test-heartbeat/", first_heartbeat.test_heartbeat, name="test_heartbeat"),
    path("rejected/", rejected_pushes.rejected_pushes, name="rejected_pushes"),
    path("charts/", charts.charts, name="charts"),
    path("charts.csv", charts.charts_csv, name="charts_csv"),
    path("tokens/new/", tokens.issue, name="issue_token"),
    path("tokens/import/", tokens.import_, name="import_token"),
    path("tokens/<uuid:token_id>/", include(_token)),
]

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("incidents/", incidents.incident_list, name="incident_list"),
    path("incidents/<uuid:public_id>/", incidents.incident, name="incident"),
    path("incidents/<uuid:public_id>/acknowledge/", incidents.acknowledge, name="acknowledge"),
    path("incidents/<uuid:public_id>/note/", incidents.note, name="note"),
    path("monitors/bulk/", bulk.do, name="bulk"),
    path("maintenance/", maintenance.maintenance, name="maintenance"),
    path("maintenance/new/", maintenance.plan, name="plan_maintenance"),
    path("maintenance/preview/", maintenance.preview, name="preview_maintenance"),
    path("maintenance/<uuid:public_id>/", maintenance.change, name="change_maintenance"),
    path("maintenance/<uuid:public_id>/end/", maintenance.end, name="end_maintenance"),
    path("maintenance/<uuid:public_id>/delete/", maintenance.delete, name="delete_maintenance"),
    path("tokens/", tokens.token_list, name="tokens"),
    path("monitors/new/", monitors.create, name="create"),
    path("monitors/preview/", monitors.preview, name="preview"),
    path("monitors/<uuid:public_id>/", include(_monitor)),
]
