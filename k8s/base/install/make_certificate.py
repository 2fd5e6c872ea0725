"""Creates the certificate of the servers, and the key of the bucket together with the certificate of their authority.

The authority signs this one certificate; its key is not kept. Secrets: dpa-sse-server-tls (public.crt, private.key)
and dpa-sse-s3 (accesskey, secretkey, ca). Running it again changes nothing.

usage: make_certificate.py DNS:minio,DNS:minio.dpa-sse.svc,IP:127.0.0.1     (needs openssl)
"""

import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from make_secrets import create_secret

DAYS = "3650"
SERVER, BUCKET = "dpa-sse-server-tls", "dpa-sse-s3"


def openssl(*arguments: str, folder: Path) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True)


def make_certificate(names: str, folder: Path) -> None:
    """Write ca.crt, public.crt and private.key."""
    key = ("-newkey", "rsa:3072", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", DAYS, "-subj", "/CN=dpa-sse",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign", folder=folder)
    openssl("req", *key, "-keyout", "private.key", "-out", "server.csr", "-subj", "/CN=dpa-sse servers", folder=folder)
    (folder / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "public.crt", "-days", DAYS, "-extfile", "extensions", folder=folder)


def main() -> None:
    """Create both secrets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(sys.argv[1], folder)
        server = {one: (folder / one).read_text() for one in ("public.crt", "private.key")}
        bucket = {
            "accesskey": secrets.token_hex(8), "secretkey": secrets.token_hex(20), "ca": (folder / "ca.crt").read_text()
        }
    made = create_secret(SERVER, server), create_secret(BUCKET, bucket)
    if made[0] != made[1]:
        old, new = (SERVER, BUCKET) if made[1] else (BUCKET, SERVER)
        raise SystemExit(
            f"the secret {old} is from an earlier installation, {new} is new: they do not fit. Delete both "
            f"(kubectl delete secret {SERVER} {BUCKET}) and install again; the content of the bucket stays."
        )


if __name__ == "__main__":
    main()
