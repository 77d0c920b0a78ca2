#!/bin/sh
# Written for {{ one.node_id }} and this one installation: what Debian's installer is not asked.
set -eu

card() {
    for place in /sys/class/net/*; do
        if [ -e "$place/device" ] && [ "$(cat "$place/address")" = "$1" ]; then
            echo "${place##*/}"
            return
        fi
    done
    echo "there is no card with the MAC $1" >&2
    return 1
}

# The installer's way of leaving out recommended packages would hold for all that is installed later.
rm -f /etc/apt/apt.conf.d/00InstallRecommends

mkdir -p /etc/firstbox
echo {{ one.provision_id }} >/etc/firstbox/provision_id

{% if one.user == 'root' %}
home=/root
{% else %}
home=/home/{{ one.user }}
useradd --create-home --shell /bin/bash {{ one.user }}
echo '{{ one.user }} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{{ one.user }}
chmod 440 /etc/sudoers.d/{{ one.user }}
{% endif %}
mkdir -p -m 700 $home/.ssh
cat >$home/.ssh/authorized_keys <<'END'
{{ one.ssh_key }}
END
chmod 600 $home/.ssh/authorized_keys
chown -R {{ one.user }}: $home/.ssh

{% for name, mac in cards.items() %}
{{ name }}=$(card {{ mac }})
{% endfor %}
cat >/etc/network/interfaces <<END
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback
{% for stanza in stanzas %}

auto {{ stanza.name }}
{% for address in stanza.addresses %}
iface {{ stanza.name }} {{ address.family }} static
    address {{ address.address }}
{% if address.gateway %}
    gateway {{ address.gateway }}
{% endif %}
{% if address.metric %}
    metric {{ address.metric }}
{% endif %}
{% if loop.first %}
{% for line in stanza.lines %}
    {{ line }}
{% endfor %}
{% endif %}
{% else %}
iface {{ stanza.name }} inet manual
{% for line in stanza.lines %}
    {{ line }}
{% endfor %}
{% endfor %}
{% endfor %}
END
{% if one.nameservers %}
cat >/etc/resolv.conf <<END
{% for server in one.nameservers %}
nameserver {{ server }}
{% endfor %}
END
{% endif %}
