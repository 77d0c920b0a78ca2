# Put cloud-init's NoCloud files on a small partition labelled CIDATA at the end of a disk: every
# distribution's cloud-init looks for it, and the image stays as it was verified.
# Before this text: disk, and user_data, meta_data, network_config in base64.

device=/dev/$disk
mount=/run/firstbox/seed

fail() {
    echo "%disk_faulty $1"
    exit 1
}

find_seed() {
    lsblk -rnpo NAME,LABEL,PARTLABEL "$device" | awk '$2 == "CIDATA" || $3 == "cidata" { print $1; exit }'
}

# The image's own end is not the disk's end: a GPT's second copy moves there first.
make_seed() {
    case $(blkid -p -s PTTYPE -o value "$device") in
        gpt)
            sgdisk --move-second-header "$device" >/dev/null &&
                sgdisk --new=0:-64M:0 --typecode=0:0700 --change-name=0:cidata "$device" >/dev/null
            ;;
        dos)
            sectors=$(blockdev --getsz "$device")
            echo "start=$(((sectors - 135168) / 2048 * 2048)), size=131072, type=c" |
                sfdisk --quiet --append --no-reread "$device"
            ;;
        *) false ;;
    esac || fail "$disk has no partition table that takes one more partition"
    blockdev --rereadpt "$device" 2>/dev/null || partx --update "$device"
    udevadm settle --timeout 10
}

seed=$(find_seed)
if [ -z "$seed" ]; then
    before=$(lsblk -rnpo NAME "$device")
    make_seed
    seed=$(lsblk -rnpo NAME "$device" | while read -r part; do
        echo "$before" | grep -qx "$part" || echo "$part"
    done)
fi
[ -b "$seed" ] || fail "the partition for cloud-init did not appear on $disk"
mkfs.vfat -n CIDATA "$seed" >/dev/null || fail "$seed cannot be formatted"
mkdir -p "$mount"
mount -t vfat "$seed" "$mount" || fail "$seed cannot be mounted"
echo "$user_data" | base64 -d >"$mount/user-data" &&
    echo "$meta_data" | base64 -d >"$mount/meta-data" &&
    echo "$network_config" | base64 -d >"$mount/network-config" || fail "$seed cannot be written"
umount "$mount" && sync && blockdev --flushbufs "$device" || fail "$seed cannot be written"
echo "%configured $seed"
