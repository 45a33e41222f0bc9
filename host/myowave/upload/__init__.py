"""Put firmware on a real board: find it, flash it by its own way, wait until it says who it is."""
