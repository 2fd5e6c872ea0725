"""Steps of a project with many targets: each is a step of one target, for all of them."""
