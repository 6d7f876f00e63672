"""What requests and answers look like: they validate, and they are the documentation."""
