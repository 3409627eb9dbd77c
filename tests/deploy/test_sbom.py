"""The bill of materials tells what is in the root file system, and the same contents give the same text."""

import hashlib
import json
import re
import uuid
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/image/sbom.py"
SITE = "opt/hullwatch/lib/python3.11/site-packages"
CONTROL = """\
Package: libstdc++6
Source: gcc-12
Version: 1:12.2.0-14+deb12u1
Architecture: arm64
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Description: GNU Standard C++ Library v3
 continued
"""


def bill(root: Path) -> dict[str, Any]:
    spec = spec_from_file_location("sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.bill(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status.d/libstdc++6": CONTROL,
        f"{SITE}/hullwatch-0.1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: hullwatch\nVersion: 0.1.0\n",
        f"{SITE}/typing_extensions-4.16.0.dist-info/METADATA": (
            "Metadata-Version: 2.4\nName: typing_extensions\nVersion: 4.16.0\nLicense-Expression: PSF-2.0\n"
        ),
        f"{SITE}/psutil-7.2.2.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: psutil\nVersion: 7.2.2\nLicense: BSD-3-Clause\n"
        ),
        f"{SITE}/collectors/ebpf/sensor.bpf.o": "byte code",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_names_packages_distributions_and_the_sensor(root: Path) -> None:
    found = bill(root)
    by_name = {each["name"]: each for each in found["components"]}
    assert set(by_name) == {"libstdc++6", "typing_extensions", "psutil", "collectors/ebpf/sensor.bpf.o"}
    assert by_name["libstdc++6"]["purl"] == (
        "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=arm64&distro=debian-12"
    )
    assert by_name["typing_extensions"]["purl"] == "pkg:pypi/typing-extensions@4.16.0"
    assert by_name["typing_extensions"]["licenses"] == [{"expression": "PSF-2.0"}]
    assert by_name["psutil"]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]
    digest = hashlib.sha256(b"byte code").hexdigest()
    assert by_name["collectors/ebpf/sensor.bpf.o"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_has_the_form_of_cyclonedx(root: Path) -> None:
    found = bill(root)
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["serialNumber"])
    subject = found["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("hullwatch", "0.1.0")
    references = [each["bom-ref"] for each in found["components"]]
    assert len(set(references)) == len(references)
    assert found["dependencies"] == [{"ref": subject["bom-ref"], "dependsOn": references}]


def test_same_contents_give_the_same_text_and_others_another_number(root: Path) -> None:
    first = bill(root)
    assert json.dumps(bill(root)) == json.dumps(first)
    (root / SITE / "collectors/ebpf/sensor.bpf.o").write_text("other byte code")
    assert uuid.UUID(bill(root)["serialNumber"]) != uuid.UUID(first["serialNumber"])
