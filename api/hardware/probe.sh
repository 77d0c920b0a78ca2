#!/bin/sh
# Tells what hardware and system this machine has, for parse_probe() to read.
#
# It only reads, needs no root (without it some serial numbers are missing) and
# no Python, and runs in dash, BusyBox ash and bash 4.2. A process costs more
# than all the text it could read, so small files are read by the shell itself
# and many files by one grep.
#
# Output: a header with a random word, then sections between "%begin WORD NAME"
# and "%end WORD NAME EXIT_CODE", then "%done WORD". Text on this machine cannot
# imitate a marker because it cannot know the word. A file's lines are printed
# as "path:line", as grep does.

run() {
  $guard "$@"
}

section() {
  section=$1
  shift
  printf '%%begin %s %s\n' "$word" "$section"
  "$@"
  printf '%%end %s %s %s\n' "$word" "$section" $?
}

print_file() {
  [ -f "$1" ] && [ -r "$1" ] || return 0
  lines=0
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s:%s\n' "$1" "$line"
    lines=$((lines + 1))
    [ $lines -lt 64 ] || return 0
  done <"$1"
}

# grep answers 1 or 2 when some files are empty or absent: that is normal here.
print_matches() {
  run grep -aHs "$@"
  code=$?
  [ $code -le 2 ] || return $code
}

read_uname() {
  # Old BusyBox wants "-t" before the seconds; some systems have no timeout.
  guard='timeout -s KILL 20'
  run uname -snrm && return
  guard='timeout -s KILL -t 20'
  run uname -snrm && return
  guard=
  run uname -snrm
}

read_os() {
  if [ -f /etc/os-release ]; then
    print_file /etc/os-release
  else
    print_file /usr/lib/os-release
  fi
  for file in lsb-release debian_version centos-release redhat-release alpine-release; do
    print_file "/etc/$file"
  done
}

read_dmi() {
  for file in sys_vendor product_name product_serial product_uuid board_vendor; do
    print_file "/sys/class/dmi/id/$file"
  done
  print_file /proc/device-tree/model
  print_file /proc/device-tree/serial-number
  return 0
}

read_memory() {
  while read -r key value unit; do
    [ "$key" = MemTotal: ] && printf '%s %s %s\n' "$key" "$value" "$unit" && return
  done </proc/meminfo
}

# /proc/cpuinfo has a megabyte on large machines: each distinct fact once.
read_cpu() {
  keys='model name|Processor|Hardware|cpu|cpu model|system type|CPU implementer|CPU part'
  if command -v awk >/dev/null; then
    run awk -F '[ \t]*: ' -v keys="^($keys)\$" '
      $1 == "processor" { processors++ }
      $1 == "physical id" { package = $2 }
      $1 == "core id" && !seen[package, $2]++ {
        print "physical id : " package "\ncore id : " $2
      }
      $1 ~ keys && !seen[$0]++ { print }
      END { print "processors : " processors + 0 }' /proc/cpuinfo
  else
    run grep -a -E "^($keys|processor|physical id|core id)[[:space:]]*:" /proc/cpuinfo
  fi
}

read_topology() {
  cd /sys/devices/system/cpu || return 3
  print_matches '' cpu[0-9]*/topology/physical_package_id \
    cpu[0-9]*/topology/thread_siblings_list
}

read_block() {
  cd /sys/block || return 3
  files=
  for disk in *; do
    case $disk in loop*|ram*|zram*|fd[0-9]*|sr[0-9]*|'*') continue ;; esac
    for file in dev size ro removable hidden queue/rotational wwid serial dm/name dm/uuid \
      device/vendor device/model device/serial device/wwid; do
      files="$files $disk/$file"
    done
    for part in "$disk"/*/partition; do
      [ -e "$part" ] && files="$files $part ${part%/*}/dev ${part%/*}/size"
    done
    for slave in "$disk"/slaves/*; do
      [ -e "$slave" ] && printf '%s:%s\n' "$disk/slave" "${slave##*/}"
    done
  done
  [ -z "$files" ] && return
  # shellcheck disable=SC2086 # one word per file is meant
  print_matches '' $files
}

# The second list is what util-linux 2.20 (Ubuntu 14.04) knows.
read_lsblk() {
  old=NAME,KNAME,TYPE,SIZE,RO,RM,ROTA,FSTYPE,LABEL,UUID,MOUNTPOINT,MODEL
  run lsblk -P -b -e 1,2,7,11 -o $old,PKNAME,TRAN,VENDOR,SERIAL,WWN && return
  code=$?
  [ $code -eq 1 ] || return $code
  run lsblk -P -b -e 1,2,7,11 -o $old
}

read_links() {
  run ls -ln /sys/block /dev/disk/by-id /sys/class/net
}

read_mounts() {
  run grep -a -m 2000 -e '^[0-9]* [0-9]* [0-9:]* [^ ]* / ' -e ' - [^ ]* /dev/' \
    /proc/self/mountinfo
}

# BusyBox's ip knows no -d. Without ip, /sys/class/net has to do.
read_link() {
  command -v ip >/dev/null || return 0
  run ip -o -d link && return
  code=$?
  [ $code -le 2 ] || return $code
  run ip -o link
}

read_address() {
  if command -v ip >/dev/null; then
    run ip -o addr
  else
    run ifconfig -a
  fi
}

read_sysnet() {
  cd /sys/class/net || return 3
  files=
  for link in *; do
    for file in address ifindex iflink mtu operstate carrier speed type uevent tun_flags \
      bonding/mode bonding/slaves bonding_slave/perm_hwaddr; do
      files="$files $link/$file"
    done
    for port in "$link"/brif/*; do
      [ -e "$port" ] && printf '%s:%s\n' "$link/port" "${port##*/}"
    done
    [ -e "$link/bridge" ] && printf '%s:1\n' "$link/bridge"
  done
  # shellcheck disable=SC2086 # one word per file is meant
  print_matches '' $files
}

# Default routes, VLANs and bonds; /proc/net shows this network namespace even
# where /sys shows another.
read_procnet() {
  tab='	'
  print_matches -m 1000 -e "^[^$tab]*${tab}00000000$tab" -e '^0\{32\} 00 ' -e ' | ' \
    -e '^Bonding Mode:' -e '^Slave Interface:' -e '^Permanent HW addr:' \
    /proc/net/route /proc/net/ipv6_route /proc/net/vlan/config /proc/net/bonding/*
}

# Cards with a cable in them; a container's eth0 is no device, and as good as one.
wired_cards() {
  for card in /sys/class/net/*; do
    name=${card##*/}
    case $name in
      eth[0-9]*) ;;
      *) [ -e "$card/device" ] || continue ;;
    esac
    carrier=0
    read -r carrier <"$card/carrier"
    [ "$carrier" = 1 ] && printf '%s\n' "$name"
  done
}

is_any_card_deaf() {
  for card in $(wired_cards); do
    [ -n "$(run lldptool -t -n -i "$card")" ] || return 0
  done
  return 1
}

print_neighbours() {
  for card in $(wired_cards); do
    run lldptool -t -n -i "$card" | head -n 64 | while IFS= read -r line; do
      printf '%s:%s\n' "$card" "$line"
    done
  done
}

# Who is at the other end of each cable, as lldpad heard it, or lldpd. Switches speak every 30 s:
# where `lldp_wait` says so, a machine that began to listen a moment ago gets that many seconds.
read_lldp() {
  if command -v lldptool >/dev/null && run lldptool -p >/dev/null; then
    waited=0
    while [ $waited -lt "${lldp_wait:-0}" ] && is_any_card_deaf; do
      sleep 1
      waited=$((waited + 1))
    done
    print_neighbours
  elif command -v lldpctl >/dev/null; then
    run lldpctl -f keyvalue | grep -a -m 4096 -e '\.chassis\.' -e '\.port\.' |
      while IFS= read -r line; do
        printf 'lldpctl:%s\n' "$line"
      done
  fi
}

main() {
  export LC_ALL=C
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
  read -r word </proc/sys/kernel/random/uuid || word=$$
  printf '%%firstbox-probe 1 %s\n' "$word"
  section uname read_uname
  section os read_os
  section dmi read_dmi
  section memory read_memory
  section cpu read_cpu
  section topology read_topology
  section block read_block
  section lsblk read_lsblk
  section links read_links
  section mounts read_mounts
  section swaps print_file /proc/swaps
  section link read_link
  section address read_address
  section sysnet read_sysnet
  section procnet read_procnet
  section lldp read_lldp
  printf '%%done %s\n' "$word"
}

# Commands must not eat the script when it comes on standard input.
main </dev/null 2>/dev/null
