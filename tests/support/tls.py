"""TLS in front of a server that has none, with a certificate that a test may spoil. The authority is the test's own."""

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KINDS = ("good", "expired", "not yet valid", "of another host", "self-signed")
DAY = timedelta(days=1)


class Authority:
    """Makes certificates for 127.0.0.1; `file` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])
        certificate = (
            self._builder(self._key, self._name, "example.com", -DAY, DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, kind: str) -> ssl.SSLContext:
        """Return what a server needs to show a certificate of this kind."""
        begin, end = {"expired": (-2 * DAY, -DAY), "not yet valid": (DAY, 2 * DAY)}.get(kind, (-DAY, DAY))
        host = "127.0.0.2" if kind == "of another host" else "127.0.0.1"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)])
        signer = key if kind == "self-signed" else self._key
        made = self._builder(key, name, host, begin, end).sign(signer, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / f"{kind}.pem"
        file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(
        self, key: ec.EllipticCurvePrivateKey, name: x509.Name, host: str, begin: timedelta, end: timedelta
    ) -> x509.CertificateBuilder:
        address = x509.DNSName(host) if host[0].isalpha() else x509.IPAddress(ipaddress.ip_address(host))
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if name.rfc4514_string() == "CN=self-signed" else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) + begin)
            .not_valid_after(datetime.now(UTC) + end)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        )


class TlsFront:
    """A door to a port of this machine. `heard` counts the bytes of clients that came through TLS."""

    def __init__(self, context: ssl.SSLContext, door: socket.socket, target_port: int) -> None:
        self.context = context
        self.heard = 0
        self.port = door.getsockname()[1]
        self._door, self._target_port = door, target_port

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._door.accept()
                threading.Thread(target=self._lead, args=(peer,), daemon=True).start()

    def _lead(self, peer: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(peer, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", self._target_port)) as target,
        ):
            threading.Thread(target=self._answer, args=(target, inside), daemon=True).start()
            while part := inside.recv(65536):
                self.heard += len(part)
                target.sendall(part)

    def _answer(self, target: socket.socket, inside: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while part := target.recv(65536):
                inside.sendall(part)


@contextmanager
def tls_front(context: ssl.SSLContext, target_port: int) -> Iterator[TlsFront]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        front = TlsFront(context, door, target_port)
        thread = threading.Thread(target=front.serve, daemon=True)
        thread.start()
        try:
            yield front
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join(10)
