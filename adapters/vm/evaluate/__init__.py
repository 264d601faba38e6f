"""What xDS resources mean, written from Envoy's documentation alone. `mesh` is the entry."""
