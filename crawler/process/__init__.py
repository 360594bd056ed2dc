"""Shared by all processes: frames, confinement (namespaces, seccomp, Landlock), memory, and the examiner's client."""
