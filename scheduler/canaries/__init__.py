"""Client tables, enrolment, invented people and how many canaries are needed."""
