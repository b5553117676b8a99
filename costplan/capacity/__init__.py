"""The cheapest fleet that holds the SLO in every hour of a trace; knows GPU-hours and prices, no total cost."""
