"""runc for a machine that lacks CAP_SYS_RESOURCE: takes that one capability out of what it is asked to build.

`docker run --privileged` and `docker exec --privileged` ask for every capability, and runc then fails on a machine
where root has not got them all. The live tests register this as a second runtime of their own engine; by that alone
privileged containers are real there. The engine writes the first line and the call of `main` around this text.
"""

import itertools
import json
import os
import sys

MISSING = "CAP_SYS_RESOURCE"


def trim(path: str) -> None:
    """Take the capability out of an OCI config.json or of the process file of `runc exec`, in place."""
    with open(path, encoding="utf-8", errors="surrogateescape") as source:
        value = json.load(source)
    capabilities = value.get("process", value).get("capabilities") or {}
    for kind, names in capabilities.items():
        capabilities[kind] = [name for name in names or [] if name != MISSING]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as target:
        json.dump(value, target)


def main(runc: str) -> None:
    """Trim the file that the arguments name, then become runc."""
    arguments = sys.argv[1:]
    for option, value in itertools.pairwise(arguments):
        if option in ("--bundle", "-b"):
            trim(f"{value}/config.json")
        elif option in ("--process", "-p"):
            trim(value)
    os.execv(runc, ["runc", *arguments])  # noqa: S606
