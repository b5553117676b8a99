"""A trace played against a live server, and what came of it."""
