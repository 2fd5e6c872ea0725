"""Used by all other rooms: errors, files, seeds, settings, environment variables, programs, resources."""
