"""Which requests a cheaper model may answer, and how sure that is: arrays in, arrays out; it reads no log."""
