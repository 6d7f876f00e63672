"""What is true: the aggregates, their events and the rules they defend."""
