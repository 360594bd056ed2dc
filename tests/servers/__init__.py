"""Real servers on 127.0.0.1 for tests: started once in a run, stopped by id at its end."""
