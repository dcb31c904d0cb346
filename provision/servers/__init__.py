"""Authentication servers. backend.py is the seam; each other module drives one server; embedded/ is our own."""
