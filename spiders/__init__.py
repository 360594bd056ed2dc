"""Where we look: one module per site software."""
