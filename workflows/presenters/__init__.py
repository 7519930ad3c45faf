"""What a page shows, worked out from rows and definitions before a template prints it."""
