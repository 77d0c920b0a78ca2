# Lay cloud-init's NoCloud files on a small partition at the end of a disk: every distribution's
# cloud-init looks for its label, and the image stays as it was verified.
# Before this text: disk, and seed, a file system in base64.

device=/dev/$disk

fail() {
    echo "%disk_faulty $1"
    exit 1
}

find_seed() {
    for part in $(lsblk -rnpo NAME "$device"); do
        [ "$(blkid -p -s LABEL -o value "$part")" != CIDATA ] || echo "$part"
    done
}

# The image's own end is not the disk's end: a GPT's second copy moves there first.
make_seed() {
    case $(blkid -p -s PTTYPE -o value "$device") in
        gpt)
            sgdisk --move-second-header "$device" >/dev/null &&
                sgdisk --new=0:-8M:0 --typecode=0:0700 --change-name=0:cidata "$device" >/dev/null
            ;;
        dos)
            sectors=$(blockdev --getsz "$device")
            echo "start=$(((sectors - 20480) / 2048 * 2048)), size=16384, type=c" |
                sfdisk --quiet --append --no-reread "$device"
            ;;
        *) false ;;
    esac || fail "$disk has no partition table that takes one more partition"
}

reread() {
    partx --update "$device" 2>/dev/null # fails where there is no partition yet
    udevadm settle --timeout 10
}

reread
part=$(find_seed)
if [ -z "$part" ]; then
    before=$(lsblk -rnpo NAME "$device")
    make_seed
    reread
    part=$(lsblk -rnpo NAME "$device" | while read -r name; do
        echo "$before" | grep -qx "$name" || echo "$name"
    done)
fi
[ -b "$part" ] || fail "the partition for cloud-init did not appear on $disk"
echo "$seed" | base64 -d | gzip -d | dd of="$part" bs=1M conv=notrunc,fsync status=none ||
    fail "$part cannot be written"
blockdev --flushbufs "$device" || fail "$part cannot be written"
echo "%configured $part"
