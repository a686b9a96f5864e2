"""Tianji: a push monitor."""

from tianji.celery import app as celery_app

__all__ = ["celery_app"]
