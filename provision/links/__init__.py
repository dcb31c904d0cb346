"""How bytes travel to a token. link.py is the seam and the addresses; each other module is one kind of wire."""
