"""The HTTP server under the page, and who may do what there."""
