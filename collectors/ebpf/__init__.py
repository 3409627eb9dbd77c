"""The eBPF sensor: programs in the kernel decide what is worth telling, and the task iterator is the sweep."""
