"""What a paper needs of a run: methods paragraph, citations, tables of the supporting information."""
