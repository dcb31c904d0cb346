"""One module per token family: what it puts on the wire, its USB fields, ATR, limits and quirks."""
