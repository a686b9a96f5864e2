"""The admin site for strangers and members; its pages have tests in tests/tianji/admin_site."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.support.admin_site import make_staff
from tests.support.factories import make_user, make_workspace

pytestmark = pytest.mark.django_db


def test_it_has_no_sign_in_of_its_own(client: Client):
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


def test_a_member_without_staff_status_is_rejected(client: Client):
    client.force_login(make_user(workspace=make_workspace()))
    assert client.get("/admin/").status_code in (302, 403)
    assert client.get("/admin/login/").status_code == 403


def test_a_superuser_comes_in(client: Client):
    client.force_login(make_staff(superuser=True))
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "Tianji" in page.text


def test_its_pages_are_under_the_same_strict_content_policy(client: Client):
    client.force_login(make_staff(superuser=True))
    policy = client.get("/admin/")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
