"""What a machine's registration must be like, what a scan asks for, and what it makes of what it finds: pure."""
