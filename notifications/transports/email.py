"""Email, through the mail server that TIANJI_EMAIL_URL names."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import threading
from collections.abc import Mapping
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend
from django.core.mail.message import sanitize_address
from django.template.loader import render_to_string
from django.utils import translation

from notifications.messages.text import BULLET, Message
from notifications.transports.base import TOTAL_SECONDS, Failed, Outgoing, Result, Sent, Tone

# The enhanced status of an address that does not exist (RFC 3463, 3.2). A rejection without it, such as
# "relaying denied", is a misconfigured mail server, which may be fixed soon.
_BAD_ADDRESS = re.compile(r"(?<![\d.])5\.1\.\d{1,3}(?![\d.])")
# Each is visible on a white and on a black background.
_COLOURS = {
    Tone.DOWN: "#d1242f",
    Tone.UP: "#1a7f37",
    Tone.LATE: "#bf8700",
    Tone.FLAPPING: "#bc4c00",
    Tone.CLOSED: "#57606a",
    Tone.INFO: "#57606a",
}


class EmailTransport:
    """Sends one email to all of `config["addresses"]`.

    It counts as sent if at least one of them was accepted. A failure is permanent only if the server said
    that none of the addresses exists.
    """

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        if not settings.TIANJI_EMAIL_URL:
            return Failed("Email is not set up: TIANJI_EMAIL_URL is empty.")
        addresses = config.get("addresses")
        if not isinstance(addresses, list) or not addresses:
            return Failed("The channel has no email address.")
        email = _build(outgoing, addresses)
        return _Sending(email).result_within(TOTAL_SECONDS)


def _build(outgoing: Outgoing, addresses: list[str]) -> mail.EmailMultiAlternatives:
    message = outgoing.message
    email = mail.EmailMultiAlternatives(
        message.title, message.text, to=addresses, headers=_headers(outgoing, _domain())
    )
    context = {"message": message, "colour": _COLOURS[outgoing.tone], "blocks": _blocks(message)}
    with translation.override(message.language):
        html = render_to_string("notifications/email.html", context)
    email.attach_alternative(html, "text/html")
    return email


def _blocks(message: Message) -> list[tuple[bool, list[tuple[str, str]]]]:
    """Return the paragraphs, and whether each is a list: its lines without bullets, with their links."""
    return [
        (
            block[0].startswith(BULLET),
            [(line.removeprefix(BULLET), message.line_urls.get(line, "")) for line in block],
        )
        for block in message.blocks
    ]


def _headers(outgoing: Outgoing, domain: str) -> dict[str, str]:
    message = outgoing.message
    # The same Message-ID for each attempt, so that mail servers and programs can drop duplicates.
    # Auto-Submitted (RFC 3834) suppresses out-of-office replies.
    headers = {
        "Auto-Submitted": "auto-generated",
        "Date": format_datetime(outgoing.at),
        "Message-ID": f"<{outgoing.id}@{domain}>",
    }
    if outgoing.thread is not None:
        # All emails about an outage refer to it, so that mail programs show them as one conversation.
        thread = f"<incident-{outgoing.thread}@{domain}>"
        headers |= {"In-Reply-To": thread, "References": thread}
    if message.list_id:
        headers["List-Id"] = f"<{message.list_id}.{domain}>"
    if message.manage_url:
        # A page that requires signing in, and an address to write to (RFC 2369); not the one-click of
        # RFC 8058, because one reader must not unsubscribe all the others.
        ways = [f"<{message.manage_url}>"]
        if address := parseaddr(settings.DEFAULT_FROM_EMAIL)[1]:
            ways.append(f"<mailto:{quote(address, safe='@')}?subject=unsubscribe>")
        headers["List-Unsubscribe"] = ", ".join(ways)
    return headers


def _domain() -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return domain.encode("idna").decode() if domain else "localhost"


class _Sending:
    """One attempt in its own thread, which is abandoned when its time is up.

    The timeouts of smtplib limit each read, not their sum, and nothing limits the DNS look-up of the
    server; so a slow server could block a worker forever.
    """

    def __init__(self, email: mail.EmailMultiAlternatives) -> None:
        self.email = email
        self.connection: BaseEmailBackend | None = None
        self.result: Result | None = None
        self.done = threading.Event()
        self.given_up = threading.Event()

    def result_within(self, seconds: float) -> Result:
        threading.Thread(target=self._run, name="email", daemon=True).start()
        self.done.wait(seconds)
        if self.result is not None:
            return self.result
        self.given_up.set()
        self._hang_up()
        return Failed(f"The mail server did not finish within {seconds:.0f} s.")

    def _run(self) -> None:
        try:
            self.result = self._send()
        except smtplib.SMTPRecipientsRefused as error:
            permanent = all(_BAD_ADDRESS.search(_text(reply)) for _code, reply in error.recipients.values())
            self.result = Failed(_refusals(error.recipients), permanent=permanent)
        except smtplib.SMTPResponseException as error:
            self.result = Failed(f"{error.smtp_code} {_text(error.smtp_error)}")
        except TimeoutError:
            self.result = Failed("The mail server did not respond in time.")
        except (OSError, ValueError) as error:
            self.result = Failed(f"Mail server error: {error}")
        except Exception as error:  # whatever a mail backend raises, the attempt failed
            self.result = Failed(f"{type(error).__name__}: {error}")
        self.done.set()
        # Only now: the server's reply to QUIT changes nothing, and may be slow.
        if self.connection is not None:
            with contextlib.suppress(Exception):
                self.connection.close()

    def _send(self) -> Result:
        connection = self.connection = mail.get_connection(timeout=settings.EMAIL_TIMEOUT)
        connection.open()
        if self.given_up.is_set():
            return Failed("Aborted.")
        if isinstance(connection, SmtpBackend):
            assert connection.connection is not None
            return _transmit(connection.connection, self.email)
        connection.send_messages([self.email])
        return Sent("Handed over.")

    def _hang_up(self) -> None:
        """Close the connection, which ends the thread's wait."""
        smtp = getattr(self.connection, "connection", None) or getattr(
            self.connection, "_partial_connection", None
        )
        sock = getattr(smtp, "sock", None)
        if sock is not None:
            # The plain socket's method: TLS must not wait for a response here.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _transmit(server: smtplib.SMTP, email: mail.EmailMultiAlternatives) -> Result:
    """Send over an open connection. Unlike Django's backend, it reports which addresses were rejected."""
    encoding = email.encoding or settings.DEFAULT_CHARSET
    recipients = [sanitize_address(address, encoding) for address in email.recipients()]
    refused = server.sendmail(
        sanitize_address(email.from_email, encoding),
        recipients,
        email.message().as_bytes(linesep="\r\n"),  # type: ignore[call-arg]  # Django's own
    )
    accepted = ", ".join(address for address in recipients if address not in refused)
    detail = f"Accepted for {accepted}."
    return Sent(f"{detail} {_refusals(refused)}" if refused else detail)


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    replies = "; ".join(f"{address}: {code} {_text(reply)}" for address, (code, reply) in refused.items())
    return f"Rejected for {replies}"


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
