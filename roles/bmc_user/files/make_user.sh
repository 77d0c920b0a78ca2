# Makes the user `name` in the machine's BMC, with `password` and an administrator's rights over LAN
# `channel`; one who is there already gets the new password.
#
# Says `%user ID`, or `%refused WHY`. The password goes nowhere but into ipmitool's standard input.

export LC_ALL=C

ask() {
    timeout -s KILL 20 ipmitool "$@" </dev/null 2>/dev/null
}

must() {
    what=$1
    shift
    ask "$@" >/dev/null && return
    echo "%refused its BMC refuses to $what"
    exit 0
}

# The first user has no name, by the book. Some BMCs have a word for an empty place.
place_of() {
    printf '%s\n' "$users" | awk -F, -v name="$1" '
        $1 > 1 && ($2 == name || (name == "" && $2 ~ /^\(?[Ee]mpty/)) { print $1; exit }'
}

users=$(ask -c user list "$channel")
if [ -z "$users" ]; then
    echo '%refused its BMC refuses to list its users'
    exit 0
fi
id=$(place_of "$name")
if [ -z "$id" ]; then
    id=$(place_of '')
    if [ -z "$id" ]; then
        echo '%refused its BMC has no free place for a user'
        exit 0
    fi
    must 'name a user' user set name "$id" "$name"
fi
if ! timeout -s KILL 20 ipmitool exec /dev/stdin >/dev/null 2>&1 <<END; then
user set password $id $password 16
END
    echo '%refused its BMC refuses to set a password'
    exit 0
fi
must 'give a user rights' channel setaccess "$channel" "$id" callin=on link=on ipmi=on privilege=4
must 'enable a user' user enable "$id"
echo "%user $id"
