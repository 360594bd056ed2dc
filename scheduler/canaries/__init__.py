"""Reading clients' tables, enrolling them, inventing people to plant, and planning how many canaries are needed."""
