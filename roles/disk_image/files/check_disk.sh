# What would be lost on a disk, and whether the machine's new address is free. Changes nothing.
# Before this text: disk, mac, address, vlan_id.

device=/dev/$disk
if [ ! -b "$device" ]; then
    echo "%disk_missing $device is no disk of this machine"
    exit
fi
if [ "$(blockdev --getro "$device")" = 1 ]; then
    echo "%disk_faulty $device can only be read"
    exit
fi
# Low-level probing: what udev remembers of a disk may be of yesterday.
found=$(for part in $(lsblk -rnpo NAME "$device"); do
    what=$(blkid -p -s PTTYPE -s TYPE -s LABEL -o value "$part" | tr '\n' ' ')
    if [ -n "$what" ] || [ "$part" != "$device" ]; then
        printf '%s%s %s' "$separator" "${part#/dev/}" "$what"
        separator=', '
    fi
done)
if [ -n "$found" ]; then
    echo "%data $found"
fi

# Duplicate address detection (RFC 5227): somebody answers for the address that is to be ours.
in_use() {
    ! arping -D -q -c 3 -w 3 -I "$1" "$address"
}
nic=$(grep -lix "$mac" /sys/class/net/*/address | head -n 1)
nic=${nic%/address}
nic=${nic##*/}
case $address in
    "" | *:*) exit ;; # IPv6 looks for duplicates by itself
esac
if [ "$vlan_id" = 0 ]; then
    in_use "$nic" && echo "%address_in_use $address"
elif ip link add link "$nic" name "try$vlan_id" type vlan id "$vlan_id" 2>/dev/null; then
    ip link set "try$vlan_id" up
    in_use "try$vlan_id" && echo "%address_in_use $address"
    ip link del "try$vlan_id"
fi
exit 0
