"""Split training: the roles, the models, what is agreed on, and the judging. torch lives here and nowhere else."""
