"""Who may come in: accounts of people, their sessions, and the keys of devices and services."""
