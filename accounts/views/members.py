"""List the members of a workspace, add and remove them, and change their roles."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm, default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import membership_of, require_owner, signed_in
from accounts.actors import actor_of
from accounts.forms import MemberForm, RoleForm
from accounts.models import Membership, Role, User, Workspace
from accounts.services import members


@require_http_methods(["GET", "POST"])
@signed_in
@sensitive_variables("link")
def members_(request: HttpRequest) -> HttpResponse:
    """List the members; owners add one with a POST.

    A new account gets a link to choose a password: by email, or if this server cannot send email, in the
    response to the POST for the owner to pass on.
    """
    membership = require_owner(request) if request.method == "POST" else membership_of(request)
    form = MemberForm(request.POST if request.method == "POST" else None)
    if not (form.is_bound and form.is_valid()):
        return _page(request, membership, form, status=422 if form.errors else 200)
    try:
        added = members.add(workspace=membership.workspace, by=actor_of(request), **form.cleaned_data)
    except members.AlreadyMember:
        form.add_error("email", _("This person is already a member. Change their role in the list."))
        return _page(request, membership, form, status=422)
    user = added.membership.user
    if added.is_new_account and not settings.TIANJI_EMAIL_URL:
        link = _password_link(user)
        return _page(request, membership, MemberForm(), newcomer=user, link=link)
    if added.is_new_account:
        _send_password_link(request, user)
        message = _("%(email)s has been added and will get an email with a link to choose a password.")
    else:
        message = _("%(email)s has been added.")
    messages.success(request, message % {"email": user.email})
    return _to_members()


def _page(
    request: HttpRequest, membership: Membership, form: MemberForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    everybody = Membership.objects.filter(workspace=membership.workspace).select_related("user")
    context = {
        "form": form,
        "everybody": everybody.order_by("user__email"),
        "roles": Role.choices,
        "is_owner": membership.role == Role.OWNER,
        **more,
    }
    return render(request, "accounts/members.html", context, status=status)


@sensitive_variables()
def _password_link(user: User) -> str:
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    link: str = get_adapter().get_reset_password_from_key_url(key)
    return link


def _send_password_link(request: HttpRequest, user: User) -> None:
    form = ResetPasswordForm({"email": user.email})
    if form.is_valid():
        form.save(request)


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


def _get_member_or_404(request: HttpRequest, workspace: Workspace) -> Membership:
    everybody = Membership.objects.select_related("user", "workspace")
    return get_object_or_404(everybody, workspace=workspace, user__email=request.GET.get("member", ""))


def _last_owner() -> str:
    return _("This is the last owner. Make someone else an owner first.")


def _to_members() -> HttpResponse:
    return HttpResponseRedirect(reverse("accounts:members"), status=303)
