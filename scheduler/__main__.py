"""`python -m scheduler`: the `tocsin` command without its installed script."""

from scheduler.cli import main

main()
