"""The pages, one file a question that an operator asks."""
