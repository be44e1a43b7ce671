"""Who solves the problems: one answer of a model, another agent, swarmd itself."""
