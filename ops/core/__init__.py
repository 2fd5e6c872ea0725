"""What everything else stands on: errors, files, seeds, settings, programs, resources."""
