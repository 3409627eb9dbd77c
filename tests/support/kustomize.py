"""Renders the kustomizations of `deploy/kustomize`, as far as they go: resources, and strategic merge patches by path.

Debian's kubectl is older than the files' format, and no package of kustomize is to be had, so where the machine has a
newer kubectl the tests hold this against it (tests/deploy/test_kustomize.py). What it does not know it refuses.
Source: https://kubectl.docs.kubernetes.io/references/kustomize/, and the merge keys of Kubernetes' OpenAPI document
(x-kubernetes-patch-merge-key) for the lists that are patched here.
"""

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
MERGE_KEYS = {"containers": "name", "volumeMounts": "mountPath", "volumes": "name"}
KNOWN = frozenset({"apiVersion", "kind", "resources", "patches"})


class KustomizationError(ValueError):
    """A kustomization uses what is not rendered here."""


def render(directory: Path) -> list[Manifest]:
    """The objects of a kustomization."""
    described = yaml.safe_load((directory / "kustomization.yaml").read_text())
    if unknown := set(described) - KNOWN:
        raise KustomizationError(f"{directory}: {sorted(unknown)}")
    objects: list[Manifest] = []
    for resource in described["resources"]:
        path = (directory / resource).resolve()
        objects += render(path) if path.is_dir() else load(path)
    for patch in described.get("patches", []):
        if set(patch) != {"path"}:
            raise KustomizationError(f"{directory}: {patch}")
        for change in load(directory / patch["path"]):
            (place,) = (index for index, each in enumerate(objects) if identity(each) == identity(change))
            objects[place] = merged(objects[place], change)
    return objects


def load(path: Path) -> list[Manifest]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def identity(manifest: Manifest) -> tuple[str, str, str, str]:
    """What makes two objects the same one."""
    metadata = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def merged(old: Manifest, change: Manifest) -> Manifest:
    """The object with a change in it: maps merge, lists with a merge key merge by it, all else is replaced."""
    result = dict(old)
    for key, value in change.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            result[key] = merged(before, value)
        elif key in MERGE_KEYS and isinstance(before, list):
            result[key] = _merged_list(before, value, MERGE_KEYS[key])
        else:
            result[key] = value
    return result


def _merged_list(old: list[Manifest], change: list[Manifest], merge_key: str) -> list[Manifest]:
    by_key = {each[merge_key]: each for each in old}
    new: list[Manifest] = []
    for each in change:
        key = each[merge_key]
        if each.get("$patch") == "delete":
            by_key.pop(key)
        elif "$patch" in each:
            raise KustomizationError(f"$patch: {each['$patch']}")
        elif key in by_key:
            by_key[key] = merged(by_key[key], each)
        else:
            new.append(each)
    return [*new, *by_key.values()]  # kustomize puts additions first
