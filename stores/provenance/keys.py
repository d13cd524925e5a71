"""What manifests are signed with: a certificate chain of the user's, or a key pair of one's own."""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stores.errors import SettingsError

_YEARS = 10
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_OWN = "dubflow"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and who vouches for it.

    Attributes:
        algorithm: As C2PA calls it.
        chain: Certificates in PEM, the signer's first.
        key: PEM.
        signer: Name in the first certificate.
        self_signed: Made by Dubflow at first use; nobody vouches for it.
    """

    algorithm: str
    chain: bytes
    key: bytes
    signer: str
    self_signed: bool = False

    def __repr__(self) -> str:
        return f"SigningKey({self.signer!r}, {self.algorithm})"


def read_signing_key(certificate: Path, key: Path) -> SigningKey:
    """The user's certificate chain and private key.

    Raises:
        SettingsError: one can't be read or is no such thing, they don't belong together, or the
            certificate is not valid today.
    """
    chain, private = _content(certificate), _content(key)
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise SettingsError(f"--sign: {certificate} holds no certificates in PEM") from error
    try:
        secret = load_pem_private_key(private, None)
    except TypeError as error:
        raise SettingsError(
            f"--sign: the key {key} is locked with a passphrase; give one without, which "
            "`openssl pkey -in KEY -out PLAIN` makes"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"--sign: {key} holds no private key in PEM") from error
    first = certificates[0]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if first.public_key().public_bytes(*form) != secret.public_key().public_bytes(*form):
        raise SettingsError(
            f"--sign: {key} is not the key of the first certificate in {certificate}"
        )
    now = datetime.now(UTC)
    for each in certificates:
        if now > each.not_valid_after_utc:
            raise SettingsError(
                f"--sign: the certificate of {_named(each)} in {certificate} expired on "
                f"{each.not_valid_after_utc:%Y-%m-%d}; renew it"
            )
        if now < each.not_valid_before_utc:
            raise SettingsError(
                f"--sign: the certificate of {_named(each)} in {certificate} is not valid before "
                f"{each.not_valid_before_utc:%Y-%m-%d}; check this machine's clock"
            )
    return SigningKey(_algorithm(secret, key), chain, private, _named(first))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"--sign: {path} can't be read: {error.strerror}") from error


def _algorithm(key: object, path: Path) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise SettingsError(
        f"--sign: {path} is a key of a kind that C2PA does not take; use P-256, P-384, P-521, "
        "Ed25519 or RSA"
    )


def _named(certificate: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.subject.get_attributes_for_oid(kind):
            return str(found[0].value)
    return "no name"


def own_folder() -> Path:
    """Where the own key pair lies: `dubflow` in the user's folder of settings."""
    settings = os.environ.get("XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "dubflow"


def own_signing_key() -> SigningKey:
    """The key pair of this user on this machine, made at first use, and again when it expires.

    Key and certificates are one file with mode 0600: they are there together or not at all.

    Raises:
        SettingsError: the file can't be read or written.
    """
    path = own_folder() / "signing.pem"
    try:
        if not _usable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".new-{secrets.token_hex(8)}")
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_new_pair())
            try:
                os.link(beside, path)  # unless another process was quicker: then that one holds
            except FileExistsError:
                if not _usable(path):
                    beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the key to sign with can't be kept at {path}: {error.strerror}; give one with --sign"
        ) from error
    first = x509.load_pem_x509_certificates(content)[0]
    key, _, _ = content.partition(b"-----BEGIN CERTIFICATE-----")
    return SigningKey("es256", content[len(key) :], key, _named(first), self_signed=True)


def _usable(path: Path) -> bool:
    """Whether there is a pair that is valid for some time yet."""
    try:
        first = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (FileNotFoundError, ValueError, IndexError):
        return False
    return bool(datetime.now(UTC) + timedelta(days=1) < first.not_valid_after_utc)


def _new_pair() -> bytes:
    """Private key, its certificate, and that of the authority, made for it alone, that signed it.

    C2PA takes no certificate that is its own authority. The authority's key is not kept.
    """
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    who = f"{_OWN} {secrets.token_hex(4)}"
    issuer, subject = _subject(f"{who} authority"), _subject(who)
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += _certificate(subject, key, issuer, authority).public_bytes(Encoding.PEM)
    pem += _certificate(issuer, authority, issuer, authority).public_bytes(Encoding.PEM)
    return pem


def _subject(name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "self-signed by Dubflow")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    authority: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now, is_authority = datetime.now(UTC), subject == issuer
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    if not is_authority:
        signs = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(signs, critical=False)
    return builder.sign(authority, hashes.SHA256())
