"""What `make bench` runs: each benchmark beside a baseline, on the same machine in the same run."""
