"""One file per log dialect, each turning its records into trace rows; nothing here knows prices."""
