"""The web page: what a person looks at. Knows nothing of the service around it, nor of the command line."""
