# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates for the server: a right one, and the wrong ones that clients have to refuse."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ALWAYS = ("localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default.svc")
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            _builder(subject, subject, key, expired=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server_context(self, hosts: Iterable[str], path: Path, *, expired: bool = False) -> ssl.SSLContext:
        """A context whose certificate is for these host names and addresses; its files are ``path``.crt and .key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in dict.fromkeys(hosts)]
        certificate = (
            _builder(_name("kube-apiserver"), self.certificate.subject, key, expired=expired)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        chain, private = path.with_suffix(".crt"), path.with_suffix(".key")
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.touch(0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(chain, private)
        return context


class Certificates:
    """The server's contexts: "" the right one, else by the name of the certificate fault; made when first needed."""

    def __init__(self, hosts: Iterable[str], directory: Path) -> None:
        self._hosts = (*_ALWAYS, *hosts)
        self._directory = directory
        self._authority = Authority.create("lab-ca")
        self._contexts: dict[str, ssl.SSLContext] = {}
        (directory / "ca.crt").write_bytes(self._authority.pem)

    def context(self, fault: str = "") -> ssl.SSLContext:
        if fault not in self._contexts:
            self._contexts[fault] = self._made(fault)
        return self._contexts[fault]

    def _made(self, fault: str) -> ssl.SSLContext:
        path = self._directory / f"server-{fault or 'right'}"
        match fault:
            case "other-ca":
                return Authority.create("other-ca").server_context(self._hosts, path)
            case "wrong-host":
                return self._authority.server_context(["elsewhere.invalid"], path)
            case "expired":
                return self._authority.server_context(self._hosts, path, expired=True)
            case _:
                return self._authority.server_context(self._hosts, path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * _DAY)
        .not_valid_after(now - _DAY if expired else now + 365 * _DAY)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
