"""One module a command: its arguments, its help with an example, and a call to the library."""
