"""What the agent needs of a node: asked one by one, with what each that is missing costs, and how to mend it."""
