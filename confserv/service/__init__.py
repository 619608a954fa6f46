"""The running parts of a Configuration Server: each owns some state, asks the cores, and calls the ports."""
