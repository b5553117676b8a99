"""Speed and memory of costplan on generated logs; run by hand, never part of the tests' verdict."""
