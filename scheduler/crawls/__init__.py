"""Running a crawl: its lease, its process, the answers to that process's questions, and what its end means."""
