"""Images and the ramdisk as files: built, taken in, cut into chunks, checked."""
