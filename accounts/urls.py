"""URLs of the pages for setup and workspace settings; sign-in belongs to allauth."""

from django.urls import path

from accounts.views import api_keys, members, setup, workspace

app_name = "accounts"

urlpatterns = [
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("workspaces/<uuid:public_id>/switch/", workspace.switch_workspace, name="switch_workspace"),
    path("settings/", workspace.settings_, name="settings"),
    path("settings/audit/", workspace.audit_, name="audit"),
    path("settings/api-keys/", api_keys.api_keys_, name="api_keys"),
    path("settings/api-keys/<uuid:public_id>/revoke/", api_keys.revoke, name="revoke_api_key"),
    path("settings/members/", members.members_, name="members"),
    path("settings/members/role/", members.set_role, name="set_role"),
    path("settings/members/remove/", members.remove, name="remove_member"),
]
