"""Processes: the projector, the reactor, the Dramatiq actors, and the supervisor over them."""
