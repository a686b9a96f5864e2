"""URLs of the history endpoints in the management API."""

from django.urls import path

from monitors.api import history, uptime

urlpatterns = [
    path("incidents/", history.Incidents.as_view(), name="incidents"),
    path("monitors/<uuid:public_id>/heartbeats/", history.Heartbeats.as_view(), name="heartbeats"),
    path(
        "monitors/<uuid:public_id>/incidents/", history.MonitorIncidents.as_view(), name="monitor_incidents"
    ),
    path("monitors/<uuid:public_id>/transitions/", history.Transitions.as_view(), name="transitions"),
    path("monitors/<uuid:public_id>/uptime/", uptime.Uptime.as_view(), name="uptime"),
]
