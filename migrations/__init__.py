"""The store's schema, revision by revision; applied by `penstock db upgrade`."""
