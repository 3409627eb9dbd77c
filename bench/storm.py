"""The first process of the benchmark's container: becomes the compiled ``storm.c`` that lies beside it."""

import os
import sys

storm = os.path.join(os.path.dirname(os.path.abspath(__file__)), "storm")
os.execv(storm, [storm, *sys.argv[1:]])  # noqa: S606  our own program, no shell
