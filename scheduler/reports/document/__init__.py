"""The report for people: one page of HTML, the same as PDF, and a table as CSV."""
