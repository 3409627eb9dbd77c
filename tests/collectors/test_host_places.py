from __future__ import annotations

from collectors.host_places import DIRECTORIES, GOVERNING_SOCKETS, PLACES
from detectors import host_path_mounted, runtime_socket_mounted


def test_the_detectors_know_what_every_place_opens_and_no_other() -> None:
    assert set(runtime_socket_mounted.OPENS) == set(GOVERNING_SOCKETS)
    assert set(host_path_mounted.OPENS) == set(DIRECTORIES)


def test_places_are_absolute_and_named_once() -> None:
    assert len(set(PLACES)) == len(PLACES)
    for place in PLACES:
        assert place.startswith("/")
        assert place == "/" or not place.endswith("/")
        assert place.count("*") <= 1
