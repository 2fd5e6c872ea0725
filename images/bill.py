"""Prints the bill of materials of the image in which it runs, as CycloneDX JSON: Debian and Python packages, licences.

images/build runs it in a finished image:  python3 -c "$(cat images/bill.py)" NAME:TAG DIGEST
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote


def debian_packages() -> list[dict[str, Any]]:
    """Return the packages that dpkg knows; none without dpkg."""
    form = "${db:Status-Abbrev}\t${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\n"
    try:
        listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return []
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    distro = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '0')}".replace('"', "")
    found = []
    for line in listed.splitlines():
        status, package, version, architecture, source = line.split("\t")
        if not status.startswith("ii"):
            continue
        name = package.partition(":")[0]
        url = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}&distro={distro}"
        source_package = {"name": "source", "value": source}
        found.append({"type": "library", "name": name, "version": version, "purl": url, "properties": [source_package]})
    return found


def python_packages() -> list[dict[str, Any]]:
    """Return the Python packages of the interpreter that runs this."""
    found = {}
    for distribution in distributions():
        name, version = distribution.metadata["Name"], distribution.version
        url = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
        entry: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": url}
        if licence := licence_of(distribution):
            entry["licenses"] = [{"license": {"name": licence}}]
        found[url] = entry
    return list(found.values())


def licence_of(distribution: Distribution) -> str:
    """Return the licence that a package declares in one line, empty if it does not."""
    for key in ("License-Expression", "License"):
        text = str(distribution.metadata.get(key) or "").strip()
        if text and "\n" not in text and text != "UNKNOWN":
            return text
    names = [line.rpartition(" :: ")[2] for line in distribution.metadata.get_all("Classifier") or []
             if line.startswith("License ::")]
    return ", ".join(names)


def main() -> None:
    """Print it."""
    image, digest = sys.argv[1:3]
    parts = sorted(debian_packages() + python_packages(), key=lambda part: str(part["purl"]))
    for part in parts:
        part["bom-ref"] = part["purl"]
    subject = {"type": "container", "bom-ref": image, "name": image, "version": digest}
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    json.dump({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": made, "component": subject}, "components": parts,
    }, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
