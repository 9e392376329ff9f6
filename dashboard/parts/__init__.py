"""Parts of pages that are files of their own: each draws what it is told, where it is told to."""
