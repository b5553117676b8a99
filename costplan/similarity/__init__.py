"""Which prompts ask the same thing, and what a cache that serves them alike would answer; knows no log and no price."""
