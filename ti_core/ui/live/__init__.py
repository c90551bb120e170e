"""The run panel in the browser, and the address that it asks."""
