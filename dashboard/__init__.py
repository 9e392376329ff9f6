"""What operators and reviewers look at: SQL views in, HTTP out."""
