"""Training, fine-tuning, freezing, compressing and evaluating Deep Potentials."""
