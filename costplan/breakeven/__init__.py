"""API against self-hosting: three columns of money, every crossing, and what the answer hangs on; simulates nothing."""
