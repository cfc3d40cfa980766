"""From a package to a smaller or faster one: quantization, storage precision, pruning, and what each does to images."""
