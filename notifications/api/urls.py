"""The addresses of channels and deliveries in the management API."""

from django.urls import path

from notifications.api import channels, deliveries, rules, snooze

urlpatterns = [
    path("channels/", channels.ChannelList.as_view(), name="channels"),
    path("channels/<uuid:public_id>/", channels.ChannelDetail.as_view(), name="channel"),
    path("channels/<uuid:public_id>/test/", channels.TestChannel.as_view(), name="test_channel"),
    path("deliveries/", deliveries.Deliveries.as_view(), name="deliveries"),
    path("rules/", rules.WorkspaceRulesView.as_view(), name="rules"),
    path("monitors/<uuid:public_id>/rules/", rules.MonitorRulesView.as_view(), name="monitor_rules"),
    path("monitors/<uuid:public_id>/snooze/", snooze.Snooze.as_view(), name="snooze"),
]
