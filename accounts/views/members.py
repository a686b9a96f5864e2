"""List the members of a workspace, invite and remove them, and change their roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import membership_of, require_owner, signed_in
from accounts.actors import actor_of
from accounts.forms import MemberForm, RoleForm
from accounts.models import Membership, Role, Workspace
from accounts.services import invitations, members, password_links
from core.clock import database_now


@require_http_methods(["GET", "POST"])
@signed_in
@sensitive_variables("link")
def members_(request: HttpRequest) -> HttpResponse:
    """List the members; owners invite someone with a POST.

    Someone who has an account decides whether to accept. A new account gets a link to choose a password: by
    email, or if this server cannot send email, in the response to the POST for the owner to pass on.
    """
    membership = require_owner(request) if request.method == "POST" else membership_of(request)
    form = MemberForm(request.POST if request.method == "POST" else None)
    if not (form.is_bound and form.is_valid()):
        return _page(request, membership, form, status=422 if form.errors else 200)
    try:
        invited = invitations.invite(
            workspace=membership.workspace, by=actor_of(request), **form.cleaned_data
        )
    except members.AlreadyMember:
        form.add_error("email", _("This person is already a member. Change their role in the list."))
        return _page(request, membership, form, status=422)
    user = invited.user
    if invited.is_new_account and not settings.TIANJI_EMAIL_URL:
        link = password_links.link_for(user)
        return _page(request, membership, MemberForm(), newcomer=user, link=link)
    if invited.is_new_account:
        password_links.request(email=user.email, language=get_language() or "en")
    messages.success(request, _what_follows(is_new_account=invited.is_new_account) % {"email": user.email})
    return _to_members()


def _what_follows(*, is_new_account: bool) -> str:
    if is_new_account:
        return _("%(email)s has been added and will get an email with a link to choose a password.")
    if settings.TIANJI_EMAIL_URL:
        return _("%(email)s has been invited, gets an email, and becomes a member by accepting.")
    return _("%(email)s has been invited, and becomes a member by accepting after the next sign-in.")


def _page(
    request: HttpRequest, membership: Membership, form: MemberForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    everybody = Membership.objects.filter(workspace=membership.workspace).select_related("user")
    context = {
        "form": form,
        "everybody": everybody.order_by("user__email"),
        "roles": Role.choices,
        "invitations": invitations.pending_in(membership.workspace),
        "is_owner": membership.role == Role.OWNER,
        "now": database_now(),
        **more,
    }
    return render(request, "accounts/members.html", context, status=status)


@require_POST
@signed_in
def set_role(request: HttpRequest) -> HttpResponse:
    """Change the role of the member with the email address `member`."""
    member = _get_member_or_404(request, require_owner(request).workspace)
    form = RoleForm(request.POST)
    if form.is_valid():
        try:
            members.set_role(membership=member, role=form.cleaned_data["role"], by=actor_of(request))
        except Membership.DoesNotExist as error:
            # Another owner was faster.
            raise Http404 from error
        except members.LastOwner:
            messages.error(request, _last_owner())
        else:
            messages.success(request, _("Saved."))
    return _to_members()


@require_http_methods(["GET", "POST"])
@signed_in
def remove(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation (GET), then remove the member with the email address `member` (POST)."""
    member = _get_member_or_404(request, require_owner(request).workspace)
    email = member.user.email
    if request.method == "POST":
        try:
            members.remove(membership=member, by=actor_of(request))
        except Membership.DoesNotExist as error:
            # Another owner was faster.
            raise Http404 from error
        except members.LastOwner:
            messages.error(request, _last_owner())
        else:
            messages.success(request, _("%(email)s is no longer a member.") % {"email": email})
        return _to_members()
    context = {
        "title": _("Remove %(email)s?") % {"email": email},
        "text": _(
            "They will lose access to this workspace. The account stays, and so do any API keys and push "
            "tokens they know: revoke or rotate the ones that matter."
        ),
        "button": _("Remove"),
        "action": request.get_full_path(),
        "cancel": reverse("accounts:members"),
    }
    template = "components/confirm.html#question" if request.htmx else "components/confirm.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
@signed_in
def revoke_invitation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take back an invitation to the workspace."""
    workspace = require_owner(request).workspace
    try:
        gone = invitations.revoke(public_id=public_id, workspace=workspace, by=actor_of(request))
    except invitations.InvitationGone as error:
        raise Http404 from error
    messages.success(request, _("Invitation of %(email)s revoked.") % {"email": gone.user.email})
    return _to_members()


def _get_member_or_404(request: HttpRequest, workspace: Workspace) -> Membership:
    everybody = Membership.objects.select_related("user", "workspace")
    return get_object_or_404(everybody, workspace=workspace, user__email=request.GET.get("member", ""))


def _last_owner() -> str:
    return _("This is the last owner. Make someone else an owner first.")


def _to_members() -> HttpResponse:
    return HttpResponseRedirect(reverse("accounts:members"), status=303)
