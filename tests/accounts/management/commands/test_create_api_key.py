"""The command that creates an API key."""

from __future__ import annotations

import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.actors import COMMAND
from accounts.models import ApiKey, AuditEntry
from accounts.services import api_keys
from core.clock import database_now
from tests.support.factories import make_workspace

pytestmark = pytest.mark.django_db


def issue(workspace, **fields):
    return api_keys.issue(workspace=workspace, by=COMMAND, **{"name": "ci", "scope": "write", **fields})


def find(secret, address="192.0.2.7"):
    return api_keys.find(secret, address=address)


def create(*arguments):
    """Run the command and return what it printed, line by line."""
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_prints_a_key_that_works_alone_on_the_last_line(workspace):
    lines = create("--name", "ci", "--scope", "write")
    key = find(lines[-1])
    assert (key.name, key.scope, key.workspace, key.expires_at) == ("ci", "write", workspace, None)
    assert AuditEntry.objects.get().actor == "command line"


def test_the_command_creates_a_read_only_key_by_default(workspace):
    assert find(create("--name", "ci")[-1]).scope == ApiKey.Scope.READ


def test_the_command_makes_a_key_that_ends(workspace):
    key = find(create("--name", "ci", "--expires-days", "30")[-1])
    assert timedelta(days=29) < key.expires_at - database_now() <= timedelta(days=30)


def test_several_workspaces_are_listed_where_none_is_named():
    first, second = make_workspace("First"), make_workspace("Second")
    with pytest.raises(CommandError) as error:
        create("--name", "ci")
    assert str(error.value).splitlines() == [
        "There are several workspaces. Choose one with --workspace.",
        f"  {first.public_id}  First",
        f"  {second.public_id}  Second",
    ]
    assert not ApiKey.objects.exists()


def test_a_workspace_is_named_by_its_name_or_uuid():
    make_workspace("First")
    second = make_workspace("Second")
    for named in ("Second", str(second.public_id)):
        assert find(create("--name", "ci", "--workspace", named)[-1]).workspace == second


def test_an_unknown_workspace_is_an_error_that_lists_the_others():
    make_workspace("First")
    for named in ("Third", str(uuid.uuid4())):
        with pytest.raises(CommandError, match=r"There is no workspace “.*”\.\n  \S+  First"):
            create("--name", "ci", "--workspace", named)


def test_workspaces_with_the_same_name_are_selected_by_uuid():
    twins = [make_workspace("Twin"), make_workspace("Twin")]
    with pytest.raises(CommandError, match=r"2 workspaces are named “Twin”\. Choose one by its UUID"):
        create("--name", "ci", "--workspace", "Twin")
    for twin in twins:
        assert find(create("--name", "ci", "--workspace", str(twin.public_id))[-1]).workspace == twin


def test_without_any_workspace_the_command_says_what_to_do():
    with pytest.raises(CommandError, match="There is no workspace yet"):
        create("--name", "ci")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--name", " "), "--name must be"),
        (("--name", "x" * 61), "--name must be 1 to 60 characters long"),
        (("--name", "ci", "--expires-days", "0"), "--expires-days must be 1 to 3650"),
        (("--name", "ci", "--scope", "all"), "invalid choice"),
        ((), "--name"),
    ],
)
def test_invalid_arguments_are_reported(workspace, arguments, error):
    with pytest.raises(CommandError, match=error):
        create(*arguments)
    assert not ApiKey.objects.exists()
