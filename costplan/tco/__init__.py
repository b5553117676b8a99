"""The money of a fleet: prices of GPU hours, how many hours are paid for, and the lines of the monthly bill."""
