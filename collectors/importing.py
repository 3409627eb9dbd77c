"""Heavy libraries are imported where they are first needed, and one at a time.

``docker`` and ``kubernetes`` both import ``requests`` and ``urllib3``. Two threads that do so at the same moment can
each wait for a module that the other holds; Python breaks that deadlock by handing out a module that is half made, and
the library that gets it fails (``importlib``, ``_DeadlockError``; guarded by
``test_libraries_are_imported_one_at_a_time``).
"""

from __future__ import annotations

import threading

IMPORTING = threading.RLock()
"""Held around the first import of a library that another source or sink may import as well."""
