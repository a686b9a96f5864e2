"""Caddy and nginx in front of the product, with the files of deploy/, and the names that they ask for."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.product import ROOT, Process, wait_for
from tests.support.servers import free_port


class Names:
    """A name server that knows one name, and the IPv4 addresses that it has at the moment."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Names:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # An empty packet ends it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            asked, peer = self._socket.recvfrom(4096)
            if not asked:
                return
            self._socket.sendto(self._answer(asked), peer)

    def _answer(self, asked: bytes) -> bytes:
        end = asked.index(b"\0", 12) + 1
        question, (kind,) = asked[12 : end + 4], struct.unpack(">H", asked[end : end + 2])
        addresses = self.addresses if kind == 1 else []
        head = asked[:2] + struct.pack(">HHHHH", 0x8580, 1, len(addresses), 0, 0)
        records = [
            struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses
        ]
        return head + question + b"".join(records)


@dataclass(frozen=True)
class Proxy:
    """A running proxy.

    Attributes:
        plain: its port without HTTPS.
        secure: its port with HTTPS.
        inside: its port for the machine itself.
        authority: the path of the certificate that signed its own.
        process: what runs it, with all that it logged.
        repeats_bodies: whether it sends a request with a body again.
    """

    plain: int
    secure: int
    inside: int
    authority: str
    process: Process
    repeats_bodies: bool = True


def replaced(text: str, lines: dict[str, str]) -> str:
    """Return a configuration with these lines instead of others, each of which must be there."""
    for before, after in lines.items():
        assert before in text, f"{before} is not in the configuration"
        text = text.replace(before, after)
    return text


@contextlib.contextmanager
def caddy(program: str, names: Names, *, port: int, url: str = "") -> Iterator[Proxy]:
    """Caddy with the shipped Caddyfile in front of the web servers that listen on `port`.

    Args:
        url: TIANJI_URL, with {plain} and {secure} for its ports.
    """
    plain, secure, inside = free_port(), free_port(), free_port()
    text = for_version(program, (ROOT / "deploy" / "Caddyfile").read_text())
    changed = {
        # Its own certificates instead of those of a public authority, and free ports.
        "\tadmin off\n": f"\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\thttp_port {plain}\n"
        f"\thttps_port {secure}\n",
        "\n:80 {": f"\n:{plain} {{",
        "\n:8000 {": f"\n:{inside} {{",
        "\t\t\trefresh 2s\n": f"\t\t\trefresh 2s\n\t\t\tresolvers udp/127.0.0.1:{names.port}\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Caddyfile"
        path.write_text(replaced(text, changed))
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **{"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder},
            **{"WEB_HOST": "web.test.", "WEB_PORT": str(port)},
            "TIANJI_URL": (url or "http://127.0.0.1:{plain}").format(plain=plain, secure=secure),
        }
        command = [program, "run", "--config", str(path), "--adapter", "caddyfile"]
        with _running(command, environment, inside) as process:
            authority = f"{folder}/caddy/pki/authorities/local/root.crt"
            yield Proxy(plain, secure, inside, authority, process, repeats_bodies="request_buffers" in text)


@contextlib.contextmanager
def nginx(program: str, servers: list[str], *, certificate: Path, key: Path) -> Iterator[Proxy]:
    """nginx with the shipped configuration in front of web servers, each as address:port, for localhost."""
    plain, secure = free_port(), free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    server = "    server {} max_fails=1 fail_timeout=2s;\n"
    changed = {
        server.format("127.0.0.1:8000"): "".join(map(server.format, servers)),
        "server_name tianji.example.com;": "server_name localhost;",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "/etc/ssl/tianji.pem": str(certificate),
        "/etc/ssl/private/tianji.key": str(key),
    }
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "tianji.conf"
        site.write_text(replaced(text, changed))
        main = Path(folder) / "nginx.conf"
        main.write_text(
            f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
            "http {\n"
            + "".join(
                f"{name}_temp_path {folder}/{name};\n"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"access_log {folder}/access.log;\ninclude {site};\n}}\n"
        )
        command = [program, "-e", "stderr", "-p", folder, "-c", str(main)]
        with _running(command, {"PATH": os.environ["PATH"]}, plain) as process:
            yield Proxy(plain, secure, plain, str(certificate), process)


def for_version(program: str, text: str) -> str:
    """Return a Caddyfile as this Caddy takes it: before 2.8, without the line that it says to leave out."""
    if _version_of(program) >= (2, 8):
        return text
    without, found = re.subn(r"^\s*request_buffers .*\n", "", text, flags=re.MULTILINE)
    assert found == 1
    return without


def _version_of(program: str) -> tuple[int, int]:
    shown = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", shown)[:2]
    return int(major), int(minor)


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], port: int) -> Iterator[Process]:
    process = Process(command, environment, name=Path(command[0]).name)
    try:
        wait_for(lambda: _accepts(port), seconds=30, describe=lambda: process.output)
        yield process
    finally:
        process.stop()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False
