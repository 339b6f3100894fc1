"""Networks, weights, stages and training of Articulate, free of any host."""
