"""Workspaces, users, API keys and the audit log in the admin site."""

from accounts.admin.factors import AuthenticatorAdmin
from accounts.admin.keys import ApiKeyAdmin, AuditEntryAdmin
from accounts.admin.people import UserAdmin
from accounts.admin.workspaces import MembershipAdmin, WorkspaceAdmin

__all__ = [
    "ApiKeyAdmin",
    "AuditEntryAdmin",
    "AuthenticatorAdmin",
    "MembershipAdmin",
    "UserAdmin",
    "WorkspaceAdmin",
]
