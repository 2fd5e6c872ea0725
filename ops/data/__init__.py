"""Labelled data sets in deepmd/npy: collecting, splitting by trajectory, merging."""
