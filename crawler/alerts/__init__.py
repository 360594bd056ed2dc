"""Events, their wording, and the dialects of the channels they are sent to."""
