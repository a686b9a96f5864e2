"""A DRF view that does nothing, on the same short path as a push: the upper limit of this server."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitors.api.push import PushView


class NoopView(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = PushView.renderer_classes
    content_negotiation_class = PushView.content_negotiation_class

    def get(self, request: Request) -> Response:
        return Response({"ok": True})

    post = get


class NoopGate:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.noop = NoopView.as_view()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != "/noop":
            return self.get_response(request)
        response = self.noop(request).render()
        response["Content-Length"] = str(len(response.content))
        return response
