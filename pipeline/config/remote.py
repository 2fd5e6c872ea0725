"""Inputs that a cluster has and this machine has not: ``s3://KEY`` in the artifact bucket, ``pvc://CLAIM/PATH``."""

from __future__ import annotations

import re

from dpa_sse.ops.core.errors import InputError

VOLUMES = "/inputs"
"""Folder of the pods below which the volumes of inputs are mounted, each by the name of its claim."""
_BUCKET = re.compile(r"s3://(?P<key>[A-Za-z0-9][\w./=+-]*)")
_VOLUME = re.compile(r"pvc://(?P<claim>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/(?P<path>[\w][\w./=+-]*)")


def is_remote(name: str) -> bool:
    """Return whether a path of the configuration is one of the cluster's."""
    return name.startswith(("s3://", "pvc://"))


def bucket_key(name: str) -> str | None:
    """Return the key in the bucket that ``s3://KEY`` names, None for other inputs.

    Raises
    ------
    InputError
        The address can not be one.
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
        The address can not be one.
    """
    found = _VOLUME.fullmatch(name)
    if found is None or ".." in name:
        raise InputError(f"{name}: write pvc://CLAIM/PATH, the claim in small letters")
    return found["claim"], f"{VOLUMES}/{found['claim']}/{found['path']}"
