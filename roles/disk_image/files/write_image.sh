# Write an image to a disk, chunk by chunk: fetched into memory, verified, unpacked, written.
# Nothing reaches the disk that does not have the checksum that came with this script.
# Before this text: disk, image, url, progress, chunk_size, size, stall, and the function `manifest`,
# which prints a line "NAME SHA256" for each chunk that is not all zeros, in order.

device=/dev/$disk
work=/run/firstbox/image
marks=$work/written-$disk-$image
mkdir -p "$work"

fail() {
    echo "%$1 $2"
    exit 1
}

# What stands on the disk holds it: volumes and arrays of what was there before.
let_go() {
    vgchange --activate n >/dev/null 2>&1
    mdadm --stop --scan >/dev/null 2>&1
    wipefs --all --force --quiet "$device" || fail disk_faulty "$device refuses to be written"
    # A RAID's or a partition table's second copy stands at the end.
    last=$(($(blockdev --getsize64 "$device") / 1048576 - 1))
    dd if=/dev/zero of="$device" bs=1M seek=$last count=1 conv=notrunc status=none ||
        fail disk_faulty "$device refuses to be written"
}

fetch() {
    for try in 1 2; do
        # Less than 1 kB/s for `stall` seconds: the image server or the way to it stands still.
        curl --silent --fail --connect-timeout 10 --speed-limit 1000 --speed-time "$stall" \
            --retry 2 --retry-delay 1 --output "$work/$1" "$url/$1.zst" ||
            fail image_stalled "piece $1 of $all_chunks did not arrive"
        [ "$(sha256sum <"$work/$1")" != "$2  -" ] || return 0
    done
    fail image_checksum "piece $1 of $all_chunks is not what was added"
}

zero() {
    [ "$2" -gt "$1" ] || return 0
    length=$((($2 - $1) * chunk_size))
    [ $(($2 * chunk_size)) -le "$size" ] || length=$((size - $1 * chunk_size))
    blkdiscard --zeroout --offset $(($1 * chunk_size)) --length $length "$device" 2>/dev/null ||
        dd if=/dev/zero of="$device" bs=1M seek=$(($1 * chunk_size / 1048576)) \
            count=$((length / 1048576)) conv=notrunc status=none ||
        fail disk_faulty "$device refuses to be written at $(($1 * chunk_size))"
}

unpack() {
    zstd --decompress --quiet --stdout "$work/$1" |
        dd of="$device" bs=1M iflag=fullblock oflag=direct seek=$((number * chunk_size / 1048576)) \
            conv=notrunc status=none || fail disk_faulty "$device refuses to be written"
    rm -f "$work/$1"
}

# Tell the boot server, which tells the job, each tenth of the way.
report() {
    percent=$((done_chunks * 100 / all_chunks))
    [ $((percent / 10)) -gt "$told" ] || return 0
    told=$((percent / 10))
    curl --silent --max-time 5 --output /dev/null --data "percent=$percent" "$progress"
}

main() {
    all_chunks=$(manifest | wc -l)
    done_chunks=0 told=0 next=0
    echo 0 >"$work/next"
    if [ ! -e "$marks" ]; then
        let_go
        : >"$marks"
    fi
    manifest | while read -r name checksum; do
        number=$(expr "$name" + 0)
        done_chunks=$((done_chunks + 1))
        if ! grep -qx "$name" "$marks"; then
            fetch "$name" "$checksum"
            zero "$next" "$number"
            unpack "$name"
            echo "$name" >>"$marks"
            report
        fi
        next=$((number + 1))
        echo "$next" >"$work/next"
    done || exit
    next=$(cat "$work/next")
    zero "$next" $(((size + chunk_size - 1) / chunk_size))
    sync
    blockdev --flushbufs "$device" || fail disk_faulty "$device does not take what is written"
    partx --update "$device" 2>/dev/null # an image may have no partitions
    udevadm settle --timeout 10
    echo "%written $all_chunks"
}
main
