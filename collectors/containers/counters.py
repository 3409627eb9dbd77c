"""What the registry counts of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RegistryCounters:
    """How often something did not work, or was not tried; all only grow."""

    problems: int = 0  # bundles and state files that could not be read or understood, remarks included
    refused_containers: int = 0  # the table was full
    refused_without_bundle: int = 0  # as above, for ids for which no bundle was found
    deferred_lookups: int = 0  # ids never seen that came faster than we look
    emptied_path_caches: int = 0
    forgotten_metadata: int = 0
    forgotten_problems: int = 0
    forgotten_pods: int = 0
