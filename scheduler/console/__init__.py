"""The console: a small web page beside the daemon that shows what is watched and found, and takes decisions."""
