"""The clients and the changing files of scripts/soak, which checks every reply."""
