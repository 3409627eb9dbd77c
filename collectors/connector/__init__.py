"""The kernel's process connector: every fork, exec, exit, change of uid or gid, and ptrace attach of the node.

``decode`` (bytes to records) and ``loss`` (what never came) are pure; ``netlink`` is the socket; ``source`` is the
loop that one thread runs.
"""
