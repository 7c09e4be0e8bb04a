"""The person's side: the legacy commands at a prompt."""
