"""The care for what runs on a thread of its own: whatever it meets, it is counted, and it runs again.

This is one of the two places that catch broadly (the other is the call of a detector, ``agent.pipeline``): a thread
that died of an error which nobody foresaw would be silence that looks like health.
"""

from __future__ import annotations

from collections.abc import Callable


def keep_running(body: Callable[[], None], go_on: Callable[[Exception], bool]) -> None:
    """Run ``body`` until it returns. When it raises, ``go_on`` counts that, waits, and says whether it runs again."""
    while True:
        try:
            body()
        except Exception as error:  # noqa: BLE001  see the module
            if not go_on(error):
                return
        else:
            return
