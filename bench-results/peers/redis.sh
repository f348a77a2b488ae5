#!/bin/sh
# Starts Redis with an append-only file on loopback and prints its rate at 1, 64 and 16×8, for scale.
#
#   redis.sh FOLDER [everysec|always] [CORE] [SECONDS]
#
# FOLDER gets the store. Needs redis-server and redis-benchmark (Debian: apt-get install redis-server redis-tools; REDIS
# and REDIS_BENCHMARK name others). Where there are none, this says so and ends with 1.
#
# It is no row beside RingMQ's: redis-benchmark is another client than loadgen (closed loop, one random body). The row
# beside it, with one client program for both, is `cargo bench -p broker --bench beside_redis`, which the campaign runs.
set -eu
folder=${1:?FOLDER is missing}
fsync=${2:-everysec}
core=${3:-}
seconds=${4:-3}
port=${PORT:-26379}
server=${REDIS:-redis-server}
bench=${REDIS_BENCHMARK:-redis-benchmark}
for program in "$server" "$bench"; do
    command -v "$program" > /dev/null || {
        echo "$program is not here: no such peer (apt-get install redis-server redis-tools)" >&2
        exit 1
    }
done
case $fsync in
    everysec | always) ;;
    *) echo "fsync is everysec or always, not $fsync" >&2; exit 2 ;;
esac
mkdir -p "$folder"
pin=
if [ -n "$core" ]; then pin="taskset -c $core"; fi
# shellcheck disable=SC2086 # a command and its arguments
$pin "$server" --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' --appendonly yes \
    --appendfsync "$fsync" --daemonize no > "$folder/redis.log" 2>&1 &
redis=$!
trap 'kill "$redis" 2>/dev/null; wait' INT TERM EXIT
sleep 1
"$server" --version
cpu() { awk '{ print $14 + $15 }' "/proc/$redis/stat"; }
for load in "1 1" "64 1" "16 8"; do
    # shellcheck disable=SC2086 # two numbers
    set -- $load
    before=$(cpu)
    # As many requests as take about so many seconds, after a first look at the rate.
    first=$("$bench" -h 127.0.0.1 -p "$port" -c "$1" -P "$2" -d 1024 -n 20000 -t lpush -q --csv | tail -1)
    rate=$(echo "$first" | cut -d'"' -f4 | cut -d. -f1)
    count=$((rate * seconds))
    "$bench" -h 127.0.0.1 -p "$port" -c "$1" -P "$2" -d 1024 -n "$count" -t lpush -q --csv | tail -1 |
        sed "s/^/LPUSH 1 KiB, $1 connections × $2 in flight, AOF $fsync: /"
    echo "  CPU of the server: $(($(cpu) - before)) ticks for $((count + 20000)) messages"
done
