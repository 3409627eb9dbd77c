"""Kubernetes as a source of names: the pods of this node from the API server, and what the kubelet leaves on disk."""
