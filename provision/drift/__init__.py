"""What a token's clock does, from the codes that it showed: pure functions, exact numbers, no I/O."""
