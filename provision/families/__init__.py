"""Token families, the host's side. driver.py is the seam and the registry; each other module drives one family."""
