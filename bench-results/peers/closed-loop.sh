#!/bin/sh
# Is loadgen's closed loop that of the stock Java client? The same load on the same broker, in turns J L L J.
#
#   closed-loop.sh FOLDER NAMESRV [THREADS] [SECONDS] [BLOCKS]
#
# FOLDER is that of apache.sh (its jars are used). LOADGEN names the program (default: loadgen), BROKER_PID the broker's
# process: then its CPU a message stands behind each turn. Both clients send for WARM_SECONDS (20) first, so that the
# broker is warm. Prints the rate of each turn and, at the end, the ratio of the sums. What makes the two differ, on one
# core for either client:
#
#   the stock client   THREADS threads, one connection: a thread's wake-up, a lock and a hand-over to netty's thread for
#                      each send; it encodes and compresses nothing here, and its CPU competes with itself
#   loadgen            THREADS connections of one in flight, one thread, no wake-up while it spins
#
# So TPS of the stock client is that of the client where it is slower than the broker, and its Average RT has the
# client's own queueing in it: TPS × Average RT = THREADS in both, which is why one number says nothing that the other
# does not. Compare --senders with THREADS, and both with the broker's CPU a message, which is the same in both if the
# broker sees the same load.
set -eu
folder=${1:?FOLDER is missing}
namesrv=${2:?NAMESRV is missing}
threads=${3:-16}
seconds=${4:-5}
blocks=${5:-3}
loadgen=${LOADGEN:-loadgen}
java=${JAVA:-java}
here=$(cd "$(dirname "$0")" && pwd)
classes=$folder/closed-loop
mkdir -p "$classes"
if [ ! -e "$folder/jars/rocketmq-client-5.5.0.jar" ]; then
    echo "$folder has no jars: start apache.sh with it first" >&2
    exit 1
fi
"${java}c" -d "$classes" -cp "$folder/jars/*" "$here/java/ClosedLoop.java"
topic=closed-loop-$$
"$loadgen" run --namesrv "$namesrv" --topic "$topic" --duration 1s --warmup 0 --no-floor --out "$folder/closed-loop-runs" \
    > /dev/null 2>&1 || true
stock() {
    "$java" -Xmx512m -Drocketmq.client.logUseSlf4j=true -cp "$classes:$folder/jars/*" ClosedLoop \
        "$namesrv" "$topic" "$threads" 1024 2 "$seconds" 2>/dev/null | grep 'Send TPS'
}
ours() {
    "$loadgen" run --namesrv "$namesrv" --topic "$topic" --senders "$threads" --duration "${seconds}s" --warmup 2s \
        --no-floor --rocketmq-lines --out "$folder/closed-loop-runs" 2>/dev/null | grep 'Complete' | sed 's/.*| Send TPS/Send TPS/'
}
# USER_HZ is 100 on every platform that this runs on.
ticks() { [ -z "${BROKER_PID:-}" ] || sed 's/.*) //' "/proc/$BROKER_PID/stat" | awk '{ print $12 + $13 }'; }
tps() { sed 's/.*Send TPS: *\([0-9]*\).*/\1/'; }
measured=$seconds
seconds=${WARM_SECONDS:-20}
for turn in stock ours; do
    rate=$($turn | tps)
    if [ "${rate:-0}" -eq 0 ]; then
        echo "$turn sent nothing to $namesrv: start apache.sh first, and set LOADGEN to the built program" >&2
        exit 1
    fi
done
seconds=$measured
sum_stock=0
sum_ours=0
block=1
while [ "$block" -le "$blocks" ]; do
    for turn in stock ours ours stock; do
        before=$(ticks)
        line=$($turn)
        after=$(ticks)
        rate=$(echo "$line" | tps)
        # Messages of the warm-up of 2 s are in the broker's CPU too.
        cpu=
        if [ -n "$before" ]; then
            cpu=$(awk "BEGIN { print ($after - $before) * 1e4 / ($rate * ($seconds + 2)) }")
            cpu=", $(printf %.0f "$cpu") us of CPU in the broker for each message"
        fi
        echo "block $block, $turn: $line$cpu"
        if [ "$turn" = stock ]; then sum_stock=$((sum_stock + rate)); else sum_ours=$((sum_ours + rate)); fi
    done
    block=$((block + 1))
done
echo "$threads threads: stock client $((sum_stock / (2 * blocks)))/s, loadgen $((sum_ours / (2 * blocks)))/s," \
    "stock / loadgen = $(awk "BEGIN { printf \"%.3f\", $sum_stock / ($sum_ours > 0 ? $sum_ours : 1) }")"
