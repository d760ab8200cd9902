"""What stands beside Huey's API."""
