"""``hullwatch selftest``: a harmless break-out from a throwaway container, and the alert it must give.

The one part of hullwatch that runs programs: it is a command for people, not the agent. ``container`` makes the
container, ``act`` is what runs in it, ``alerts`` waits for what the agent says, ``trial`` puts them together.
"""
