"""Charts, a file a page; what they share is in ``style``."""
