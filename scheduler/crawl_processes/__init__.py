"""The processes of crawls, as the runner sees them: how they are started and shared, and the frames to and from them."""
