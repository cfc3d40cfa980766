"""The study of compression: every kind of generator in every form, with its size, speed and fidelity."""
