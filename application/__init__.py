"""What can be done: the use cases, the event store they write to, and the composition root."""
