"""What a mesh permits, as values: what is remembered of every unit, and what two states both permit. Pure."""
