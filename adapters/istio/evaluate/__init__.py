"""What Istio objects mean, written from Istio's documentation alone. `mesh` is the entry."""
