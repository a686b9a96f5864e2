"""Programs that use the management API."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from accounts.actors import COMMAND
from accounts.models import Workspace
from accounts.services import api_keys


class Caller:
    """A program with an API key for `workspace`, which sends and receives JSON."""

    def __init__(self, workspace: Workspace, scope: str = "write") -> None:
        self.workspace = workspace
        self.issued = api_keys.issue(workspace=workspace, name=f"{scope}r", scope=scope, by=COMMAND)
        self._client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.issued.secret}", **headers}
        content = "" if body is None else json.dumps(body)
        return self._client.generic(
            method, f"/api/v1/{path}", content, content_type="application/json", headers=given
        )

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)
