"""What a webhook is signed with."""

from __future__ import annotations

import base64

import pytest

from notifications.transports.signing import is_secret, signature


def test_a_signature_is_the_one_of_the_standard():
    # The example that the libraries of Standard Webhooks are tested with.
    found = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp="1614265330",
        body=b'{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("size", range(100))
def test_a_secret_has_24_to_64_bytes(size):
    assert is_secret("whsec_" + base64.b64encode(b"\xfb" * size).decode()) == (24 <= size <= 64)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwQ",
        "whsec_" + "=" * 32,
    ],
)
def test_an_invalid_secret_is_an_error(text):
    assert not is_secret(text)
