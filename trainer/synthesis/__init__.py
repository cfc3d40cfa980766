"""`latentd synthesize`: the command, and the filters that compare samples with real images."""
