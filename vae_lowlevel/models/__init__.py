"""Models: networks and distributions put together."""
