"""Fewer frames that teach as much: a data set thinned with an ensemble of models."""
