"""A pretend CUDA device for machines without a card, and what is tested on it. README.md says how it is used."""
