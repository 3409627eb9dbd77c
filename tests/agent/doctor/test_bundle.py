from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from agent.config_schema import Config, OutputConfig
from agent.doctor.bundle import members, write_archive
from agent.doctor.examination import examine
from agent.output_schema import HttpConfig, OtlpConfig
from agent.shown_config import shown
from agent.state_schema import RedactionConfig
from tests.agent.doctor.surroundings import configured, well

SECRETS = ("hunter2", "T00000000", "s3cr3t", "corp-[0-9]{8}")
OUTPUT = OutputConfig(
    redaction=RedactionConfig(patterns=("corp-[0-9]{8}",)),
    sinks=(
        HttpConfig(
            name="chat", url="https://hooks.example.com/services/T00000000/s3cr3t", headers={"X-Key": "hunter2"}
        ),
        OtlpConfig(name="logs", url="http://collector:4318/v1/logs?key=s3cr3t", headers={"Authorization": "hunter2"}),
    ),
)


def test_a_configuration_is_shown_without_what_may_be_secret() -> None:
    values = shown(Config(output=OUTPUT))
    text = json.dumps(values)
    assert not [each for each in SECRETS if each in text]
    chat = values["output"]["sinks"][0]
    assert (chat["type"], chat["url"], chat["headers"]) == (
        "http",
        "https://hooks.example.com/[redacted]",
        {"X-Key": "[redacted]"},
    )
    assert values["sweep"]["interval_seconds"] == 1.0


def test_the_archive_holds_no_secret_and_nothing_of_other_processes(tmp_path: Path) -> None:
    node = configured(well(tmp_path / "node"), output=OUTPUT)
    state = tmp_path / "node/state"
    (state / "outbox.db").write_bytes(b"hunter2")
    (tmp_path / "node/proc/700/cmdline").write_bytes(b"mysql\0-phunter2\0")
    path = tmp_path / "support.tar.gz"
    size = write_archive(path, members(node, examine(node)))
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (size, 0o600)
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            data = archive.extractfile(member)
            assert data is not None
            found[member.name.removeprefix("hullwatch-support/")] = data.read()
    assert not [each for each in SECRETS if each.encode() in b"".join(found.values())]
    assert {"README.txt", "doctor.json", "versions.json", "config.json", "state.json"} <= set(found)
    assert json.loads(found["state.json"])["files"] == [{"name": "outbox.db", "bytes": 7, "mode": "100644"}]
    assert json.loads(found["doctor.json"])[0]["check"] == "user"
    assert found["proc/sys/kernel/perf_event_paranoid"] == b"2\n"


def test_an_archive_is_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "support.tar.gz"
    path.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for each in (path, link):
        with pytest.raises(FileExistsError):
            write_archive(each, {"a": b"b"})
    assert path.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_the_same_contents_make_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_archive(tmp_path / name, {"b": b"2", "a": b"1"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        assert archive.getnames() == ["hullwatch-support/a", "hullwatch-support/b"]
