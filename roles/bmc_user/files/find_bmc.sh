# Asks the machine's BMC, from inside, where it is in the network.
#
# Says `%lan CHANNEL ADDRESS MAC`, or `%no_bmc`, or `%silent WHY`.

export LC_ALL=C

ask() {
    timeout -s KILL 20 ipmitool "$@" </dev/null 2>/dev/null
}

value() {
    printf '%s\n' "$lan" | sed -n "s/^$1 *: *//p" | head -n 1
}

if [ ! -e /dev/ipmi0 ]; then
    echo '%no_bmc'
    exit 0
fi
if ! ask mc info >/dev/null; then
    echo '%silent its BMC does not answer in-band'
    exit 0
fi
# Most have their LAN at channel 1; some at 2 or 8.
for channel in 1 2 3 4 5 6 7 8; do
    lan=$(ask lan print "$channel") || continue
    address=$(value 'IP Address')
    case $address in
        '' | 0.0.0.0) continue ;;
    esac
    echo "%lan $channel $address $(value 'MAC Address')"
    exit 0
done
echo '%silent its BMC has no address'
