"""What the image is made of: its lock file and its bill of materials."""
