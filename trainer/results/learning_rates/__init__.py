"""The study of learning rates: Adam, SGD and the conjugate gradient rules over a grid, with and without λ·L_conj."""
