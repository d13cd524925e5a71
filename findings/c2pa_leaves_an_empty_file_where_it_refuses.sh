#!/bin/sh
# Guess:    sign_file refuses a container that it can't write a manifest into before it touches the
#           destination: after the error there is no such file, and one that was there is as it was.
# Happens:  it opens the destination for writing first and looks at the kind of file then. A Matroska
#           file is refused ("type is unsupported"), and the destination is there with 0 bytes; a
#           file that was there before has lost its content. The same call signs an MP4.
# Versions: c2pa-python 0.38.1, av 18.1.0, cryptography 50.0.2, numpy 2.4.6
# Source:   Builder.sign_file in c2pa/c2pa.py opens source and destination ("w+b") before it calls
#           the library, which decides by the file's kind.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet c2pa-python==0.38.1 av==18.1.0 cryptography==50.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import av
import c2pa
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

folder = Path(sys.argv[1])
KIND = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation"
print(*(f"{name} {version(name)}" for name in ("c2pa-python", "av", "cryptography", "numpy")))


def certificate(name, key, issuer, signer, authority):
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)
        .add_extension(x509.KeyUsage(*[not authority] + [False] * 4 + [authority] * 2 + [False] * 2), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)])


root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
chain = certificate(name("one"), leaf, name("two"), root, False)
chain += certificate(name("two"), root, name("two"), root, True)
private = leaf.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def video(path):
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", 25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(5):
            picture = np.full((64, 64, 3), 40 * index, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))
    return path


def signed(source, target):
    made = {"action": "c2pa.created", "digitalSourceType": KIND}
    told = {
        "claim_generator_info": [{"name": "finding", "version": "1"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }
    info = c2pa.C2paSignerInfo(b"es256", chain, private, None)
    try:
        with c2pa.Builder(told) as builder, c2pa.Signer.from_info(info) as signer:
            builder.sign_file(str(source), str(target), signer)
        return "signed"
    except c2pa.C2paError as error:
        return f"refused: {' '.join(str(error).split())}"


said = signed(video(folder / "a.mp4"), folder / "signed.mp4")
print("mp4:", said, (folder / "signed.mp4").stat().st_size, "bytes")
assert said == "signed"
there = folder / "there.mkv"
there.write_bytes(b"what was there before")
said = signed(video(folder / "a.mkv"), there)
print("mkv:", said)
print("guessed: 21 bytes as before; seen:", there.stat().st_size)
assert said.startswith("refused") and there.stat().st_size == 0
PYTHON
