"""What torch shares with the whole process: devices, determinism, processes, inference."""
