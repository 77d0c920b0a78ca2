"""What booting machines are answered: DHCP, loader, boot script, ramdisk, installer files."""
