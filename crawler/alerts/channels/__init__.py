"""One module for each kind of channel; `registry` finds them by their files."""
