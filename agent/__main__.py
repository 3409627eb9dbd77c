"""``python -m agent`` is ``hullwatch``."""

from agent.cli import main

main()
