#!/bin/sh
# The campaign: starts the peers, measures every target beside them, judges, writes the README's table.
#
#   bench-results/campaign.sh NAME [WORK]          the same command goes on with one that was interrupted
#
# NAME becomes bench-results/campaigns/NAME. WORK (default: a folder campaign-work in the project's target/) gets jars,
# settings and stores of the peers. LOADGEN names the program (default: target/release/loadgen, built if it is not
# there). RUST_PEER=yes builds and measures rocketmq-rust too, BENCHES=no leaves out the benchmarks of the targets that
# no load of loadgen measures. Every option of `loadgen campaign` may follow WORK.
#
# Takes about an hour on two cores with nothing else on the machine, 20 minutes of it the benchmarks. Peers and RingMQ
# are pinned to core 0, the generator to core 1.
set -eu
name=${1:?NAME is missing}
root=$(cd "$(dirname "$0")/.." && pwd)
work=${2:-target/campaign-work}
shift
[ $# -gt 0 ] && shift
cd "$root"
loadgen=${LOADGEN:-target/release/loadgen}
if [ ! -x "$loadgen" ]; then cargo build --release -p loadgen; fi
mkdir -p "$work"
work_full=$(cd "$work" && pwd)
pids=
brokers=
# shellcheck disable=SC2086 # a list of processes
stop() { [ -z "$pids" ] || { kill $pids; kill -CONT $brokers; } 2>/dev/null || true; wait 2>/dev/null || true; }
trap stop EXIT
trap 'exit 130' INT TERM

# Starts a peer's script and gives NAMESRV,PID as it prints them.
peer() {
    line_file=$work/$1.line
    : > "$line_file"
    peer_name=$1
    shift
    "$@" > "$line_file" 2> "$work/$peer_name.err" &
    script=$!
    pids="$pids $script"
    tries=0
    until grep -q -- '--broker-pid' "$line_file"; do
        tries=$((tries + 1))
        if ! kill -0 "$script" 2>/dev/null || [ "$tries" -gt 1800 ]; then
            echo "$peer_name did not start:" >&2
            tail -5 "$work/$peer_name.err" >&2
            exit 1
        fi
        sleep 0.5
    done
    found=$(sed -n 's/.*--namesrv \([^ ]*\) --broker-pid \([0-9]*\).*/\1,\2/p' "$line_file")
    brokers="$brokers ${found#*,}"
}

peers=bench-results/peers
NAMESRV_PORT=19876 BROKER_PORT=20911 HEAP=${HEAP:-1g} peer apache-async sh $peers/apache.sh "$work/apache-async" default async 0
async=$found
# The same jars.
mkdir -p "$work/apache-sync"
[ -e "$work/apache-sync/jars" ] || ln -s ../apache-async/jars "$work/apache-sync/jars"
NAMESRV_PORT=19976 BROKER_PORT=21911 HEAP=${HEAP:-1g} peer apache-sync sh $peers/apache.sh "$work/apache-sync" default sync 0
sync=$found
set -- "bench-results/campaigns/$name" --apache-async "$async" --apache-sync "$sync" --dir "$work" --readme README.md "$@"
if [ "${RUST_PEER:-no}" = yes ]; then
    peer rocketmq-rust sh $peers/rocketmq-rust.sh "$work/rocketmq-rust" tuned async 0
    set -- "$@" --rocketmq-rust "$found"
fi
"$loadgen" campaign "$@"

# Runs a benchmark so many times, once a campaign: what it printed and its rounds stand in the campaign's folder when it
# has ended well.
bench() {
    bench_name=$1 times=$2
    shift 2
    out=$root/bench-results/campaigns/$name/benches
    [ ! -e "$out/$bench_name.jsonl" ] || return 0
    mkdir -p "$out"
    echo "$bench_name: $times × cargo bench $*" >&2
    rm -f "$work/bench.jsonl" "$work/bench.txt"
    while [ "$times" -gt 0 ]; do
        cargo bench --quiet "$@" --pairs "$work_full/bench.jsonl" >> "$work/bench.txt"
        times=$((times - 1))
    done
    mv "$work/bench.txt" "$out/$bench_name.txt"
    mv "$work/bench.jsonl" "$out/$bench_name.jsonl"
}

[ "${BENCHES:-yes}" = yes ] || exit 0
stop_peer() { kill -STOP "${1#*,}"; }
stop_peer "$sync"
bench pop 1 -p broker --bench pop -- --part rate --rounds 3 --messages 100000 \
    --also "apache-default=127.0.0.1:20911,${async#*,}"
stop_peer "$async"
bench names 1 -p namesrv --bench beside_apache -- --apache "$work_full/apache-async/jars"
# The campaign says NOT MEASURED where there is none.
if command -v redis-server > /dev/null; then bench redis 1 -p broker --bench beside_redis -- --rounds 7; fi
bench append 1 -p engine --bench append_disk -- --rounds 5 --mib 512
bench cold 1 -p engine --bench cold -- --only mixed --rounds 4
bench start 5 -p engine --bench many_queues -- --only-start
bench sync-bound 1 -p broker --bench sync_flush -- --direct --rounds 7 --seconds 0.5
for part in levels committed; do
    bench $part 3 -p broker --bench beside_apache -- --part $part --count 100000 --first-s 15 --span-s 5 \
        --apache "$work_full/apache-async/jars"
done
bench restart 1 -p broker --bench beside_apache -- --part start --apache "$work_full/apache-async/jars"
"$loadgen" campaign "$@" --judge
