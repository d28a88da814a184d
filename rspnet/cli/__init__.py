"""A stage's command line: its options, their help, and the frame it runs in; torch stays out."""
