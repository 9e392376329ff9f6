"""What the planes agree on: policies, records, tables, configuration."""
