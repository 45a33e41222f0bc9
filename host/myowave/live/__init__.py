"""Live on the laptop: one session with a board, and all that listens to it."""
