"""The containers of the node: whose cgroup is whose, what was declared for them, how they are called."""
