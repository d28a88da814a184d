"""The command line of a stage: its options, their help, and the frame it runs in. Does not import torch."""
