"""The addresses of the accounts' pages that are ours."""

from django.urls import path

from accounts import views

app_name = "accounts"

urlpatterns = [
    path("setup/<str:token>/", views.setup, name="setup"),
    path("workspaces/<uuid:public_id>/switch/", views.switch_workspace, name="switch_workspace"),
]
