"""A server that is used for long: what a scripted client finds, and what it costs at the end."""
