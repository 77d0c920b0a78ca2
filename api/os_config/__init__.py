"""What an installed system is to be: disk, networks, hostname, keys. Pure: values in, text out."""
