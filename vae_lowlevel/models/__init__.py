"""Models: networks and distributions combined, all with the contract `types.Model`."""
