"""Everything until stopped: APScheduler as the clock, cadence, and where crawls run."""
