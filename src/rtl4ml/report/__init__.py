"""What people and machines read: verification, profile, tables, progress."""
