"""The self-check of production: the model against the labeler on frames of its own MD, and the loop back to labels."""
