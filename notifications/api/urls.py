"""The addresses of channels and deliveries in the management API."""

from django.urls import path

from notifications.api import channels, deliveries

urlpatterns = [
    path("channels/", channels.ChannelList.as_view(), name="channels"),
    path("channels/<uuid:public_id>/", channels.ChannelDetail.as_view(), name="channel"),
    path("channels/<uuid:public_id>/test/", channels.TestChannel.as_view(), name="test_channel"),
    path("deliveries/", deliveries.Deliveries.as_view(), name="deliveries"),
]
