"""Other packages that take a fit: each is imported on use, if at all."""
