"""URLs of the pages for setup, workspace settings and accounts; sign-in is in allauth_urls.py."""

from django.urls import path

from accounts.views import api_keys, email_address, invitations, members, setup, workspace

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
    path(
        "settings/members/invitations/<uuid:public_id>/revoke/",
        members.revoke_invitation,
        name="revoke_invitation",
    ),
    path("invitations/", invitations.list_, name="invitations"),
    path("invitations/<uuid:public_id>/accept/", invitations.accept, name="accept_invitation"),
    path("invitations/<uuid:public_id>/decline/", invitations.decline, name="decline_invitation"),
    path("accounts/email/change/", email_address.change, name="change_email"),
    path("accounts/email/confirm/<str:token>/", email_address.confirm, name="confirm_email"),
]
