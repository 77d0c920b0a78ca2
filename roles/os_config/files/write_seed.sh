# Put cloud-init's NoCloud files on a small partition labelled CIDATA at the end of a disk: every
# distribution's cloud-init looks for it, and the image stays as it was verified.
# Before this text: disk, and user_data, meta_data, network_config in base64.

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
                sgdisk --new=0:-64M:0 --typecode=0:0700 --change-name=0:cidata "$device" >/dev/null
            ;;
        dos)
            sectors=$(blockdev --getsz "$device")
            echo "start=$(((sectors - 135168) / 2048 * 2048)), size=131072, type=c" |
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
seed=$(find_seed)
if [ -z "$seed" ]; then
    before=$(lsblk -rnpo NAME "$device")
    make_seed
    reread
    seed=$(lsblk -rnpo NAME "$device" | while read -r part; do
        echo "$before" | grep -qx "$part" || echo "$part"
    done)
fi
[ -b "$seed" ] || fail "the partition for cloud-init did not appear on $disk"
mkfs.vfat -n CIDATA "$seed" >/dev/null || fail "$seed cannot be formatted"
put() {
    echo "$2" | base64 -d | mcopy -i "$seed" - "::$1" || fail "$seed cannot be written"
}
put user-data "$user_data"
put meta-data "$meta_data"
put network-config "$network_config"
sync
blockdev --flushbufs "$device" || fail "$seed cannot be written"
echo "%configured $seed"
