"""How the simulated token is wired up: frames, and the descriptors that carry them."""
