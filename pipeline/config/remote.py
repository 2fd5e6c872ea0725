"""Inputs that are on the cluster, not on this machine: ``s3://KEY`` in the artifact bucket, ``pvc://CLAIM/PATH``."""

from __future__ import annotations

import re

from dpa_sse.ops.core.errors import InputError

VOLUMES = "/inputs"
"""Folder in the pods where the input volumes are mounted, each under the name of its claim."""
_BUCKET = re.compile(r"s3://(?P<key>[A-Za-z0-9][\w./=+-]*)")
_VOLUME = re.compile(r"pvc://(?P<claim>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/(?P<path>[\w][\w./=+-]*)")


def is_remote(name: str) -> bool:
    """Return whether a path of the configuration is on the cluster."""
    return name.startswith(("s3://", "pvc://"))


def bucket_key(name: str) -> str | None:
    """Return the key in the bucket that ``s3://KEY`` names, None for other inputs.

    Raises
    ------
    InputError
        The address is malformed.
    """
    found = _BUCKET.fullmatch(name)
    if found is None and (not name.startswith("pvc://") or ".." in name):
        raise InputError(f"{name}: write s3://KEY (a key of the artifact bucket) or pvc://CLAIM/PATH")
    return found["key"].rstrip("/") if found else None


def volume_path(name: str) -> tuple[str, str]:
    """Return the claim and the path in the pod that ``pvc://CLAIM/PATH`` names.

    Raises
    ------
    InputError
        The address is malformed.
    """
    found = _VOLUME.fullmatch(name)
    if found is None or ".." in name:
        raise InputError(f"{name}: write pvc://CLAIM/PATH, the claim in lower case")
    return found["claim"], f"{VOLUMES}/{found['claim']}/{found['path']}"
