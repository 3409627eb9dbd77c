"""The control socket: how a person's commands ask the running agent, and how it answers without ever waiting."""
