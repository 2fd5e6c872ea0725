"""What steps hand each other: one declared model for each result file, used by its writer and by all its readers."""
