"""Writes the image's bill of materials, CycloneDX 1.5 in JSON: Debian packages, Python distributions, the eBPF object.

Runs in the build, with the Python of the image's own environment and the standard library alone. The same contents give
the same text: no time of writing, and a serial number that is made of the contents.
"""

from __future__ import annotations

import email.parser
import hashlib
import importlib.metadata
import json
import re
import sys
import uuid
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAME = "hullwatch"
SENSOR = "collectors/ebpf/sensor.bpf.o"
NAMESPACE = uuid.UUID("5c4f3f9e-6a0e-4e0c-9d8e-2f6b1f3b7a11")  # ours, for serial numbers

Component = dict[str, Any]


def bill(root: Path) -> Component:
    """The document about everything below ``root``."""
    distributions = {
        _normal(each.name): each for each in importlib.metadata.distributions(path=[str(_site_packages(root))])
    }
    agent = distributions.pop(NAME)
    components = [*debian_packages(root), *(python_distribution(each) for each in distributions.values())]
    components.append(file_component(_site_packages(root) / SENSOR, SENSOR))
    components.sort(key=lambda each: str(each["bom-ref"]))
    subject = {
        "type": "container",
        "bom-ref": f"container:{NAME}",
        "name": NAME,
        "version": agent.version,
        "licenses": [{"expression": "Apache-2.0"}],
    }
    parts = [component["bom-ref"] for component in components]
    contents = json.dumps([subject, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, contents)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": parts}],
    }


def debian_packages(root: Path) -> list[Component]:
    """What ``assemble`` unpacked, from the control fields that it kept."""
    release = dict(
        line.split("=", 1) for line in (root / "etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    distribution = f"debian-{release['VERSION_ID'].strip(chr(34))}"
    parser = email.parser.Parser()
    controls = [
        parser.parsestr(path.read_text(encoding="utf-8")) for path in sorted((root / "var/lib/dpkg/status.d").iterdir())
    ]
    return [_debian_package(control, distribution) for control in controls]


def _debian_package(control: Message, distribution: str) -> Component:
    version = quote(str(control["Version"]), safe="")
    purl = f"pkg:deb/debian/{quote(str(control['Package']), safe='')}@{version}"
    purl += f"?arch={control['Architecture']}&distro={distribution}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": str(control["Package"]),
        "version": str(control["Version"]),
        "supplier": {"name": str(control["Maintainer"])},
        "purl": purl,
    }


def python_distribution(distribution: importlib.metadata.Distribution) -> Component:
    """One distribution of the environment."""
    purl = f"pkg:pypi/{_normal(distribution.name)}@{quote(distribution.version, safe='')}"
    component: Component = {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.name,
        "version": distribution.version,
        "purl": purl,
    }
    fields = dict(distribution.metadata.json)
    expression, free = fields.get("license_expression"), str(fields.get("license") or "")
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif free.strip() and "\n" not in free:
        component["licenses"] = [{"license": {"name": free}}]
    return component


def file_component(path: Path, name: str) -> Component:
    """A file that no package of another brought, with its digest."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _normal(name: str) -> str:
    """The name as PyPI's addresses have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _site_packages(root: Path) -> Path:
    return next(root.glob("opt/hullwatch/lib/python3*/site-packages"))


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
