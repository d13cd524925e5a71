"""Keys: what can't sign is refused in one line, before any work."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from stores.errors import SettingsError
from stores.provenance.keys import own_folder, own_signing_key, read_signing_key
from stores.provenance.manifest import check_key


def pair(
    folder: Path, *, days: tuple[int, int] = (-1, 9), key: object = None, password: bytes = b""
) -> tuple[Path, Path]:
    """Files of a certificate that is its own authority, and its key."""
    made: ec.EllipticCurvePrivateKey = key or ec.generate_private_key(ec.SECP256R1())  # type: ignore[assignment]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A Studio")])
    now = datetime.now(UTC)
    begin, end = (now + timedelta(days=each) for each in days)
    certificate = x509.CertificateBuilder(
        name, name, made.public_key(), x509.random_serial_number(), begin, end
    ).sign(made, None if isinstance(made, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    return paths


def test_the_own_pair_is_made_once_and_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = own_signing_key()
    assert first == own_signing_key() and first.self_signed
    (file,) = own_folder().iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(first)
    file.write_bytes(b"damaged")
    assert own_signing_key() != first


def test_the_users_pair_is_read(tmp_path: Path) -> None:
    for key, algorithm in (
        (ec.generate_private_key(ec.SECP256R1()), "es256"),
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
    ):
        found = read_signing_key(*pair(tmp_path, key=key))
        assert (found.algorithm, found.signer, found.self_signed) == (algorithm, "A Studio", False)


def test_what_cannot_sign_is_told(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path)
    other = tmp_path / "other.pem"
    other.write_bytes(pair_key())
    for paths, words in (
        ((tmp_path / "none.pem", key), "none.pem can't be read: No such file"),
        ((certificate, tmp_path / "none.pem"), "none.pem can't be read: No such file"),
        ((key, key), "holds no certificates"),
        ((certificate, certificate), "holds no private key"),
        ((certificate, other), "is not the key of the first certificate"),
        (pair(sub(tmp_path, "old"), days=(-9, -1)), "of A Studio in .* expired on 20.*; renew"),
        (pair(sub(tmp_path, "new"), days=(1, 9)), "not valid before 20.*; check this machine"),
        (pair(sub(tmp_path, "locked"), password=b"secret"), "locked with a passphrase"),
        (pair(sub(tmp_path, "dsa"), key=dsa.generate_private_key(1024)), "kind that C2PA"),
    ):
        with pytest.raises(SettingsError, match=words):
            read_signing_key(*paths)


def test_a_certificate_that_c2pa_refuses_is_refused_at_once(tmp_path: Path) -> None:
    """It is its own authority, and does not say that it may sign."""
    with pytest.raises(SettingsError, match=r"can't be signed as A Studio: .*--sign"):
        check_key(read_signing_key(*pair(tmp_path)))


def sub(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def pair_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
