#!/bin/sh
# One of RocketMQ's standard deployments on this machine: starts it, kills parts of it, checks it.
#
#   deployment.sh start   NAME DIR         starts every part; stores, logs and settings go to DIR
#   deployment.sh parts   NAME             the parts: name servers, then brokers
#   deployment.sh kill    NAME DIR PART    SIGKILL
#   deployment.sh end     NAME DIR PART    SIGTERM, and waits
#   deployment.sh begin   NAME DIR PART    starts a part that was killed or ended
#   deployment.sh promote NAME DIR SLAVE   ends a slave and starts it as the master of its name
#   deployment.sh follow  NAME DIR MASTER  the old master, killed or ended, as a slave with an empty store
#   deployment.sh check   NAME DIR         sends for two seconds and reads every message back (loadgen)
#   deployment.sh try     NAME DIR         all of it: start, check, kill, check, begin, check, stop
#   deployment.sh stop    NAME DIR         ends every part
#
# NAME is a folder beside this script. BIN names the folder of mqnamesrv, mqbroker and loadgen (default: target/release).
# PORT_SHIFT is added to every port, so that two deployments can run side by side. MORE is one more line for every
# broker's settings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../target/release}
shift_by=${PORT_SHIFT:-0}
what=${1:?start, parts, kill, end, begin, promote, follow, check, try or stop}
name=${2:?NAME is missing: $(cd "$here" && echo */)}
name=${name%/}
files=$here/$name
[ -d "$files" ] || { echo "there is no deployment $name; there are: $(cd "$here" && echo */)" >&2; exit 2; }

parts() {
    for each in "$files"/namesrv-*.properties "$files"/broker-?.properties "$files"/broker-?-s.properties; do
        [ ! -e "$each" ] || basename "$each" .properties
    done
}
if [ "$what" = parts ]; then parts; exit; fi
dir=${3:?DIR is missing}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The settings as they lie in the folder, with shifted ports and a store in DIR.
settings() {
    awk -v by="$shift_by" '
        /^(listenPort|haListenPort)=/ { split($0, at, "="); print at[1] "=" at[2] + by; next }
        /^namesrvAddr=/ {
            split($0, at, "="); n = split(at[2], each, ";"); line = ""
            for (i = 1; i <= n; i++) {
                split(each[i], of, ":"); line = line (i > 1 ? ";" : "") of[1] ":" of[2] + by
            }
            print "namesrvAddr=" line; next
        }
        { print }' "$files/$1.properties"
    case $1 in
        namesrv-*) echo "bindAddress=127.0.0.1"; echo "kvConfigPath=$dir/$1/kvConfig.json" ;;
        *)
            echo "bindAddress=127.0.0.1"
            echo "storePathRootDir=$dir/$1/store"
            [ -z "${MORE:-}" ] || echo "$MORE"
            [ ! -e "$dir/$1/role" ] || cat "$dir/$1/role"
            ;;
    esac
}

begin() {
    mkdir -p "$dir/$1"
    settings "$1" > "$dir/$1/settings.properties"
    program=mqbroker
    case $1 in namesrv-*) program=mqnamesrv ;; esac
    # What its last life said must not be taken for this one's.
    rm -f "$dir/$1/said"
    "$bin/$program" -c "$dir/$1/settings.properties" > "$dir/$1/said" 2> "$dir/$1/log" < /dev/null &
    pid=$!
    echo "$pid" > "$dir/$1/pid"
    tries=0
    until grep -qs "boot success" "$dir/$1/said"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "$1 did not start:" >&2; tail -5 "$dir/$1/said" "$dir/$1/log" >&2; exit 1
        fi
        sleep 0.1
    done
    echo "$1 runs, process $pid"
}

pid_of() { cat "$dir/$1/pid" 2>/dev/null || { echo "$1 was never started in $dir" >&2; exit 1; }; }

# A process that has ended and waits for its parent (state Z) has ended.
gone() { [ ! -e "/proc/$1/stat" ] || grep -q ') Z ' "/proc/$1/stat" 2>/dev/null; }

signal() {
    pid=$(pid_of "$2")
    kill -s "$1" "$pid" 2>/dev/null || true
    tries=0
    until gone "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -le 600 ] || { echo "$2 (process $pid) did not end" >&2; exit 1; }
        sleep 0.1
    done
    echo "$2 ended"
}

namesrvs() { sed -n 's/^namesrvAddr=//p' "$dir/broker-a/settings.properties"; }

check() { "$bin/loadgen" run --namesrv "$(namesrvs)" --duration 2s --consume --no-floor --out "$dir/runs"; }

part=${4:-}
need_part() { [ -e "$files/$part.properties" ] || { echo "$name has no part '$part'; it has: $(parts | tr '\n' ' ')" >&2; exit 2; }; }

promote() {
    signal TERM "$1"
    role=$(sed -n 's/^brokerRole=//p' "$files/${1%-s}.properties")
    printf 'brokerRole=%s\nbrokerId=0\n' "$role" > "$dir/$1/role"
    begin "$1"
}

follow() {
    gone "$(pid_of "$1")" || { echo "$1 still runs: kill or end it first" >&2; exit 1; }
    rm -rf "$dir/$1/store"
    printf 'brokerRole=SLAVE\nbrokerId=1\n' > "$dir/$1/role"
    begin "$1"
}

case $what in
    start) for each in $(parts); do begin "$each"; done; echo "name servers: $(namesrvs)" ;;
    kill) need_part; signal KILL "$part" ;;
    end) need_part; signal TERM "$part" ;;
    begin) need_part; begin "$part" ;;
    promote) need_part; promote "$part" ;;
    follow) need_part; follow "$part" ;;
    check) check ;;
    stop) for each in $(parts | sort -r); do [ ! -e "$dir/$each/pid" ] || signal TERM "$each"; done ;;
    try)
        for each in $(parts); do begin "$each"; done
        trap 'for each in $(parts | sort -r); do [ ! -e "$dir/$each/pid" ] || signal TERM "$each"; done' EXIT
        check
        signal KILL broker-a
        if [ -e "$files/broker-a-s.properties" ]; then promote broker-a-s; follow broker-a; else begin broker-a; fi
        check
        ;;
    *) echo "$what is none of start, parts, kill, end, begin, promote, follow, check, try, stop" >&2; exit 2 ;;
esac
