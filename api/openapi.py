"""What the OpenAPI document says about the whole API, as drf-spectacular's settings (tianji/settings.py)."""

from __future__ import annotations

from typing import Any

SETTINGS: dict[str, Any] = {
    "TITLE": "Tianji",
    "DESCRIPTION": "The push endpoint, and everything you can do in the web interface.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["api.schema.only_the_api"],
    "POSTPROCESSING_HOOKS": ["api.schema.exact", "monitors.api.push_schema.describe"],
    "TAGS": [
        {"name": "push", "description": "Send heartbeats."},
        {"name": "monitors"},
        {"name": "push tokens"},
        {"name": "history", "description": "Heartbeats, incidents and uptime."},
        {"name": "channels", "description": "Where notifications are sent, when, and the delivery log."},
        {"name": "maintenance", "description": "Times during which no notifications are sent."},
        {"name": "audit log", "description": "Who did what, for owners and admins."},
    ],
    # The API documentation loads nothing from other servers.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "docExpansion": "list", "validatorUrl": None},
}
