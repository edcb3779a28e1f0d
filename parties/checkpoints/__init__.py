"""What a run keeps on disk until it is finished, and how all parties go on from there."""
