"""What every room needs of this machine: files read and written safely, text made fit to show, the command as it was typed."""
