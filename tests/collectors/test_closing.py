from __future__ import annotations

import pytest

from collectors.closing import closed_on_failure


class Resource:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_closes_once_and_raises_on_whatever_the_block_raised(error: type[BaseException]) -> None:
    resource = Resource()
    with pytest.raises(error), closed_on_failure(resource):
        raise error
    assert resource.closed == 1


def test_leaves_open_what_the_block_made_use_of() -> None:
    resource = Resource()

    def made() -> Resource:
        with closed_on_failure(resource):
            return resource

    assert made().closed == 0
