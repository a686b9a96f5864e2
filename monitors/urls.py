"""The addresses of the monitors' pages."""

from django.urls import path

from monitors.views import log, monitors, overview, tokens

app_name = "monitors"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("monitors/new/", monitors.create, name="create"),
    path("monitors/preview/", monitors.preview, name="preview"),
    path("monitors/<uuid:public_id>/", monitors.detail, name="detail"),
    path("monitors/<uuid:public_id>/edit/", monitors.edit, name="edit"),
    path("monitors/<uuid:public_id>/pause/", monitors.pause, name="pause"),
    path("monitors/<uuid:public_id>/resume/", monitors.resume, name="resume"),
    path("monitors/<uuid:public_id>/delete/", monitors.delete, name="delete"),
    path("monitors/<uuid:public_id>/rotate/", tokens.rotate, name="rotate"),
    path("monitors/<uuid:public_id>/heartbeats/", log.heartbeats, name="heartbeats"),
    path("monitors/<uuid:public_id>/incidents/", log.incidents, name="incidents"),
]
