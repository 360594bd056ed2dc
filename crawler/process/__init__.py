"""What all processes share: frames, privileges (namespaces, seccomp, Landlock) and the client of the examiner."""
