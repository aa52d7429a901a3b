"""Pages for the browser that need neither a server nor a network."""
