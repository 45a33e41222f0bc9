"""MyoWave: a live estimate of muscle activity from a 6-axis IMU."""
