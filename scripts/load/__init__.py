"""Everything at once, and every reply checked: what scripts/soak is made of."""
