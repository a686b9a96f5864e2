"""What people see when a page fails."""

from __future__ import annotations

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from monitors.pages.overview import page as overview_page


@pytest.fixture
def browser(admin) -> Client:
    admin.raise_request_exception = False
    return admin


@pytest.mark.parametrize("error", [OperationalError("no connection"), InterfaceError("closed")])
def test_without_a_database_a_page_says_so_and_reloads_itself(browser, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(overview_page, "overview", fail)
    response = browser.get("/")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    text = response.content.decode()
    assert '<meta http-equiv="refresh" content="5">' in text
    assert "Tianji can't reach its database." in text.replace("&#x27;", "'")


def test_any_other_fault_is_500(browser, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(overview_page, "overview", fail)
    response = browser.get("/")
    assert response.status_code == 500
    assert "Something went wrong" in response.content.decode()
