"""What can be asked: one file per read model, and the one engine that runs them all."""
