"""A step of learning: gradients of a batch, the optimiser, the average, and processes that share the work."""
