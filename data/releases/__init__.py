"""What is known as one body of leaked records: building, storing, merging and finding candidates."""
