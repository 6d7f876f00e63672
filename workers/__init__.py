"""What runs beside the web: the reactor, the Dramatiq actors, and the supervisor over all."""
