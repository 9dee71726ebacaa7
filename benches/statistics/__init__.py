"""What learned bounds cost clean data, and what the usual bounds cost it: simulations with the product's own code."""
