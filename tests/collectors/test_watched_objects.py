from pathlib import Path

import pytest

from collectors.errors import Gone
from collectors.events import Watched, WatchKind
from collectors.watched_objects import WATCHED, Pattern, Watch, configured, expand, opened


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("home/ann/.ssh/id_ed25519", "home/bob/.ssh/id_rsa", "home/.hidden/.ssh/id_rsa", "etc/shadow"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def paths(host: Path, pattern: str) -> list[Watched]:
    return list(expand(str(host), Pattern(pattern, WatchKind.SECRET, Watch.READ)))


def test_expands_patterns_on_the_hosts_side(host: Path) -> None:
    assert [each.path for each in paths(host, "/home/*/.ssh/id_*")] == [
        "/home/ann/.ssh/id_ed25519",
        "/home/bob/.ssh/id_rsa",
    ]


def test_names_what_is_not_there_yet_where_nothing_is_to_be_expanded(host: Path) -> None:
    assert paths(host, "/etc/ld.so.preload") == [Watched("/etc/ld.so.preload", WatchKind.SECRET)]


def test_finds_nothing_where_the_directory_is_missing(host: Path) -> None:
    assert paths(host, "/var/lib/kubelet/pods/*/token") == []


def test_says_whose_pod_a_token_is(host: Path) -> None:
    token = host / "var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~projected/x/token"
    token.parent.mkdir(parents=True)
    token.write_text("")
    pattern = next(each for each in WATCHED if each.path.endswith("/token") and each.pod_component is not None)
    (found,) = expand(str(host), pattern)
    assert (found.pod_uid, found.kind) == ("uid-1", WatchKind.SECRET)


def test_opens_through_links_of_the_host_and_never_beyond_its_root(host: Path) -> None:
    (host / "etc/link").symlink_to("/etc/shadow")
    with opened(str(host), "/etc/link") as fd:
        assert Path(f"/proc/self/fd/{fd}").samefile(host / "etc/shadow")
    with pytest.raises(Gone), opened(str(host), "/etc/none"):
        pass


@pytest.mark.parametrize(
    ("kind", "below", "watch"),
    [
        ("secret", False, Watch.READ),
        ("persistence", False, Watch.WRITE | Watch.ENTRIES),
        ("persistence", True, Watch.WRITE | Watch.ENTRIES | Watch.BELOW),
        ("runtime", True, Watch.WRITE),
    ],
)
def test_takes_what_an_operator_adds(kind: str, *, below: bool, watch: Watch) -> None:
    assert configured("/srv/x", kind, below=below) == Pattern("/srv/x", WatchKind(kind), watch)


def test_every_path_is_absolute_and_named_once_for_each_kind() -> None:
    named = [(each.path, each.kind) for each in WATCHED]
    assert len(set(named)) == len(named)
    assert all(path.startswith("/") and path == path.rstrip("/") for path, _ in named)
