"""Parts that scenarios are put together from. Standard library only."""
