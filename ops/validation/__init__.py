"""The self-check of production: the model against the labeler on frames of the MD, and the loop back to labels."""
