"""Renders the chart with Go's text/template and sprig, which is what Helm does; see `helm/render.go`."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.support.kustomize import merged

SOURCE = Path(__file__).with_name("helm") / "render.go"
LIBRARIES = Path("/usr/share/gocode")  # of Debian's golang-*-dev packages

Manifest = dict[str, Any]


class RendererUnavailableError(RuntimeError):
    """The renderer cannot be built here; the message says why."""


class ChartError(ValueError):
    """The chart refuses these values."""


def build() -> Path:
    """The renderer, kept from run to run while its source stays the same."""
    go = shutil.which("go")
    if not go:
        raise RendererUnavailableError("Go is not installed (package golang-go)")
    if not (LIBRARIES / "src/github.com/Masterminds/sprig").is_dir():
        raise RendererUnavailableError("sprig is not installed (package golang-github-masterminds-sprig-dev)")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hullwatch-tests"
    program = base / f"helm-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        base.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        environment = dict(os.environ, GO111MODULE="off", GOPATH=str(LIBRARIES), GOFLAGS="", GOCACHE=str(base / "go"))
        subprocess.run([go, "build", "-o", unfinished, SOURCE], env=environment, check=True, timeout=300)
        unfinished.rename(program)
    return program


def render(chart: Path, changes: Manifest, program: Path) -> list[Manifest]:
    """The objects of a release named `hullwatch` in the namespace of that name. `ChartError` as Helm would refuse."""
    values = merged(yaml.safe_load((chart / "values.yaml").read_text()), changes)
    try:
        jsonschema.validate(values, json.loads((chart / "values.schema.json").read_text()))
    except jsonschema.ValidationError as error:
        raise ChartError(error.message) from error
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    root = {
        "Values": values,
        "Release": {"Name": "hullwatch", "Namespace": "hullwatch", "Service": "Helm"},
        "Chart": {key[0].upper() + key[1:]: value for key, value in described.items()},
    }
    done = subprocess.run(
        [program, chart / "templates"], input=json.dumps(root).encode(), capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        raise ChartError(done.stderr.decode())
    return [each for each in yaml.safe_load_all(done.stdout) if each]
