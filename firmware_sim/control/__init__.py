"""What no real token has: a hand at the bench that presses, pulls cables and moves time."""
