"""How a post becomes a finding and an event."""
