"""Pictures of clocks: first as numbers, which any drawing can show; then in the terminal, in SVG, PNG and HTML."""
