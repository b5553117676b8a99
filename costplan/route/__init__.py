"""`costplan route`: which requests of a log a cheaper model may take, what that saves, and how sure it is."""
