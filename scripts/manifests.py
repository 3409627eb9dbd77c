"""Writes deploy/daemonset.yaml, for `kubectl apply -f`, from the files of the kustomize base; `--check` only compares.

A concatenation, so that the comments stay: they say what each privilege is for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parent.parent
BASE = TOP / "deploy/kustomize/base"
TARGET = TOP / "deploy/daemonset.yaml"
HEAD = """\
# hullwatch on every node: kubectl apply -f deploy/daemonset.yaml
# Made from deploy/kustomize/base by scripts/manifests.py; other settings are overlays there.
"""


def plain() -> str:
    """The text of the file."""
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    return HEAD + "---\n".join((BASE / name).read_text(encoding="utf-8") for name in listed)


def main() -> int:
    """Write the file, or say whether it is up to date."""
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text(encoding="utf-8") != plain():
            print(f"{TARGET.relative_to(TOP)} is out of date: run scripts/manifests.py")
            return 1
        return 0
    TARGET.write_text(plain(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
