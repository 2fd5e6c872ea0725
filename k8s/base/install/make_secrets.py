"""Creates secrets with random content in this namespace; existing ones are kept.

usage: make_secrets.py NAME=KEY,KEY...     (in a pod whose account may create secrets)
"""

import json
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONFLICT = 409


def create_secret(name: str, values: dict[str, str]) -> bool:
    """Create a secret; False if there is one with this name, which is kept."""
    namespace = (ACCOUNT / "namespace").read_text()
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "dpa-sse"}},
        "stringData": values,
    }
    request = urllib.request.Request(
        f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/secrets",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=30):  # noqa: S310  (the API server)
            print(f"secret {name}: made")
    except urllib.error.HTTPError as error:
        if error.code != CONFLICT:
            raise
        print(f"secret {name}: exists")
        return False
    return True


def main() -> None:
    """Create them one by one."""
    for argument in sys.argv[1:]:
        name, _, keys = argument.partition("=")
        create_secret(name, {
            key: secrets.token_hex(8 if key == "accesskey" else 20) for key in keys.split(",")
        })


if __name__ == "__main__":
    main()
