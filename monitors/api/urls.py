"""URL of the push endpoint."""

from django.urls import re_path

from monitors.api.push import push

urlpatterns = [re_path(r"^api/push(?:/(?P<token>[^/]*))?/?$", push, name="push")]
