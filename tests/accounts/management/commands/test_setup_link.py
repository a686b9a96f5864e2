"""The command that prints a setup link."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


def test_the_command_prints_a_link_that_works(client, settings):
    out = StringIO()
    call_command("setup_link", stdout=out)
    path = out.getvalue().strip().removeprefix(settings.TIANJI_URL)
    assert re.fullmatch(r"/setup/[\w-]+/", path)
    assert client.get(path).status_code == 200


def test_the_command_refuses_once_an_account_exists():
    make_user()
    with pytest.raises(CommandError, match="already exists"):
        call_command("setup_link", stdout=StringIO())
