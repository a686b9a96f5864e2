"""Questions before an action: a page of their own or, for htmx, the content of a dialog."""

from __future__ import annotations

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def confirm(request: HttpRequest, *, title: str, text: str, button: str, cancel: str) -> HttpResponse:
    """Ask for confirmation before a POST to the URL of `request`."""
    template = "components/confirm.html#question" if request.htmx else "components/confirm.html"  # type: ignore[attr-defined]
    context = {"title": title, "text": text, "button": button, "cancel": cancel, "action": request.path}
    return render(request, template, context)


def ask(
    request: HttpRequest,
    form: BaseForm,
    *,
    title: str,
    button: str,
    cancel: str,
    text: str = "",
    warning: str = "",
) -> HttpResponse:
    """Show `form`, which the browser submits normally, to the URL of `request`; 422 if it has errors."""
    template = "components/form_dialog.html#question" if request.htmx else "components/form_dialog.html"  # type: ignore[attr-defined]
    context = {
        "form": form,
        "title": title,
        "text": text,
        "warning": warning,
        "button": button,
        "cancel": cancel,
        "action": request.path,
    }
    return render(request, template, context, status=422 if form.errors else 200)
