"""The daemon: it starts due crawls, delivers alerts and runs self-tests until it is stopped."""
