"""The pages of channels, mounted at /channels/."""

from django.urls import path

from notifications.views import channel_setup, rules
from notifications.views import channels as views

app_name = "notifications"
urlpatterns = [
    path("", views.channel_list, name="list"),
    path("new/", channel_setup.choose_kind, name="new"),
    path("new/<slug:kind>/", channel_setup.create, name="create"),
    path("assign/", views.assign, name="assign"),
    path("for/<uuid:public_id>/", rules.for_monitor, name="for_monitor"),
    path("rules/", rules.workspace_rules, name="workspace_rules"),
    path("rules/<uuid:public_id>/", rules.rules, name="rules"),
    path("snooze/<uuid:public_id>/", rules.snooze, name="snooze"),
    path("unsnooze/<uuid:public_id>/", rules.unsnooze, name="unsnooze"),
    path("incident/<uuid:public_id>/", views.of_incident, name="of_incident"),
    path("<uuid:public_id>/", views.detail, name="detail"),
    path("<uuid:public_id>/edit/", channel_setup.edit, name="edit"),
    path("<uuid:public_id>/secret/", channel_setup.new_secret, name="new_secret"),
    path("<uuid:public_id>/delete/", views.delete, name="delete"),
    path("<uuid:public_id>/test/", views.test, name="test"),
]
