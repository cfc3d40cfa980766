"""What the tests share: a tiny model package, a real server in a process, the data sets of the checkout."""
