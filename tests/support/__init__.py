"""What the fixtures are made of: servers, processes and networks that are real, and can be broken on purpose."""
