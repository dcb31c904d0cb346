"""Seeds: how they are made, read from what vendors and servers hand out, and sealed while they wait for their token."""
