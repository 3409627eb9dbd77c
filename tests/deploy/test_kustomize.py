"""The renderer of the tests gives what kubectl gives, where this machine has one that knows the files' format."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import kustomize
from tests.support.daemonset import load

TOP = Path(__file__).parents[2] / "deploy/kustomize"
FIRST_MINOR = 27  # kustomize 5


def kubectl() -> str:
    """A kubectl that is new enough; skips with the reason where there is none."""
    command = shutil.which("kubectl")
    if not command:
        pytest.skip("there is no kubectl")
    said = subprocess.run(  # noqa: S603  (a fixed command)
        [command, "version", "--client", "--output=json"], check=True, capture_output=True, timeout=30
    )
    version = json.loads(said.stdout)["clientVersion"]
    if int(version["minor"].rstrip("+")) < FIRST_MINOR:
        pytest.skip(f"kubectl {version['gitVersion']} does not know the format")
    return command


def by_identity(manifests: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], Any]:
    return {kustomize.identity(each): in_order(each) for each in manifests}


def in_order(value: Any) -> Any:
    """The same value, with those lists in order whose order means nothing: their entries have names."""
    if isinstance(value, list):
        return [in_order(each) for each in value]
    if not isinstance(value, dict):
        return value
    result = {name: in_order(each) for name, each in value.items()}
    for name in kustomize.MERGE_KEYS.keys() & result.keys():
        if all(isinstance(each, dict) for each in result[name]):
            result[name].sort(key=lambda each: str(each[kustomize.MERGE_KEYS[name]]))
    return result


@pytest.mark.parametrize(
    "path", sorted(path.parent for path in TOP.rglob("kustomization.yaml")), ids=lambda path: path.name
)
def test_renders_as_kubectl_does(path: Path) -> None:
    said = subprocess.run([kubectl(), "kustomize", path], check=True, capture_output=True, timeout=60)  # noqa: S603  (as above)
    assert said.stderr == b""  # no word of what is deprecated
    assert by_identity(kustomize.render(path)) == by_identity(load(said.stdout.decode()))


def test_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\nnamePrefix: x-\n")
    with pytest.raises(kustomize.KustomizationError, match="namePrefix"):
        kustomize.render(tmp_path)
