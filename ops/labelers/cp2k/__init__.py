"""Labels and molecular dynamics with CP2K."""
