"""Email addresses: each is stored and compared in one way, and shown so that none looks like another."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from accounts.addresses import normalized, require_plain
from accounts.models import User
from tests.support.factories import make_user


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Budi@Example.COM", "budi@example.com"),
        (" budi@example.com ", "budi@example.com"),
        ("budi@BÜCHER.example", "budi@xn--bcher-kva.example"),
        ("budi@ex\N{CYRILLIC SMALL LETTER A}mple.com", "budi@xn--exmple-4nf.com"),
        ("budi@\N{FULLWIDTH LATIN SMALL LETTER E}xample.com", "budi@example.com"),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ("budi", "budi"),
        ("", ""),
        (f"budi@{'x' * 70}.com", f"budi@{'x' * 70}.com"),
    ],
)
def test_an_address_is_written_in_one_way(typed, stored):
    assert normalized(typed) == stored
    assert normalized(stored) == stored


@pytest.mark.parametrize("sign", ["\N{KELVIN SIGN}", "\N{LATIN SMALL LETTER LONG S}"])
def test_a_sign_that_looks_like_a_letter_is_refused_in_front_of_the_at(sign):
    address = f"bu{sign}di@example.com"
    validate_email(address)  # Django takes it
    with pytest.raises(ValidationError):
        require_plain(address)
    require_plain("budi@bücher.example")


@pytest.mark.django_db
def test_an_account_is_found_however_its_address_is_written():
    user = make_user(email="Budi@Bücher.example")
    for written in ("budi@bücher.example", "BUDI@XN--BCHER-KVA.EXAMPLE", " budi@BÜCHER.example"):
        assert User.objects.with_address(written) == user
        assert User.objects.get_by_natural_key(written) == user
    assert User.objects.with_address("other@bücher.example") is None


@pytest.mark.django_db
def test_the_database_takes_no_address_twice_and_none_in_capitals():
    user = make_user(email="budi@example.com")
    for email in ("budi@example.com", "BUDI@example.com", "Other@example.com"):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.create(email=email)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=user.pk).update(email="Budi@example.com")
