"""Images in, model package out: the offline half of latentd, and the only place that imports torch."""
