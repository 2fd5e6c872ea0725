"""Which registry: the given one, that of the environment, or that of the user."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.core.environment import MODELS
from dpa_sse.ops.models.names import registry_folder
from dpa_sse.ops.models.registry import ModelRegistry


def open_registry(given: str | None = None) -> ModelRegistry:
    """Return a registry.

    Parameters
    ----------
    given : str, optional
        Folder, or ``s3://bucket/prefix``; by default that of the environment, else a folder of the user.

    Raises
    ------
    InputError
        The address is malformed, or no S3 server is named.
    """
    place = given or MODELS.read()
    if place is not None and place.startswith("s3:"):
        from dpa_sse.ops.models.s3 import open_bucket_registry

        return open_bucket_registry(place)
    return ModelRegistry(Path(place).expanduser() if place else registry_folder())
