#!/bin/sh
# Starts rocketmq-rust 1.0.0 (name server and one broker) on loopback, as a peer for loadgen.
#
#   rocketmq-rust.sh FOLDER [default|tuned] [async|sync] [CORES]
#
# FOLDER gets programs, settings, store and logs. CORES (as 0 or 0,1) pins the broker. The first start builds both from
# crates.io, which takes minutes and a Rust toolchain. Prints one line for loadgen when both answer:
#
#   loadgen run --namesrv 127.0.0.1:29876 --broker-pid 4242
#
# `tuned` switches commitLogMicroBatchEnabled off: with it a lone send waits for a timer, and the default is ten times
# slower than it need be. Where the build fails (no registry, a crate that was yanked), this says so and ends with 1.
set -eu
folder=${1:?FOLDER is missing}
profile=${2:-tuned}
flush=${3:-async}
cores=${4:-}
version=1.0.0
namesrv_port=${NAMESRV_PORT:-29876}
broker_port=${BROKER_PORT:-30911}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for crate in namesrv broker; do
    if [ ! -x "$folder/bin/rocketmq-$crate-rust" ]; then
        cargo install --locked --root "$folder" --version "$version" "rocketmq-$crate" || {
            echo "rocketmq-$crate $version can't be had from crates.io (see above): no such peer here" >&2
            exit 1
        }
    fi
done
case $flush in
    async) flush_type=ASYNC_FLUSH ;;
    sync) flush_type=SYNC_FLUSH ;;
    *) echo "flush is async or sync, not $flush" >&2; exit 2 ;;
esac
case $profile in
    default) batch= ;;
    tuned) batch="commitLogMicroBatchEnabled = false" ;;
    *) echo "profile is default or tuned, not $profile" >&2; exit 2 ;;
esac
cat > "$folder/broker.toml" <<TOML
[broker]
namesrvAddr = "127.0.0.1:$namesrv_port"
brokerIp1 = "127.0.0.1"
listenPort = $broker_port
storePathRootDir = "$folder/store"

[broker.brokerServerConfig]
bindAddress = "127.0.0.1"

[broker.brokerIdentity]
brokerName = "rocketmq-rust-$profile"
brokerClusterName = "DefaultCluster"
brokerId = 0

[store]
storeType = "LocalFile"
brokerRole = "ASYNC_MASTER"
flushDiskType = "$flush_type"
storePathRootDir = "$folder/store"
haListenAddress = "127.0.0.1"
haListenPort = $((broker_port + 1))
$batch
TOML
export ROCKETMQ_HOME="$folder" ROCKETMQ_SECURITY_PROFILE=development-insecure-loopback
pin=
if [ -n "$cores" ]; then pin="taskset -c $cores"; fi
"$folder/bin/rocketmq-namesrv-rust" --listenPort "$namesrv_port" --bindAddress 127.0.0.1 \
    > "$folder/namesrv.log" 2>&1 &
namesrv=$!
sleep 1
# shellcheck disable=SC2086 # a command and its arguments
$pin "$folder/bin/rocketmq-broker-rust" -c "$folder/broker.toml" -n "127.0.0.1:$namesrv_port" \
    > "$folder/broker.log" 2>&1 &
broker=$!
trap 'kill "$broker" "$namesrv" 2>/dev/null; wait; exit 0' INT TERM
tries=0
until (exec 3<> "/dev/tcp/127.0.0.1/$broker_port") 2>/dev/null || ss -ltn 2>/dev/null | grep -q ":$broker_port "; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! kill -0 "$broker" 2>/dev/null; then
        echo "the broker did not start:" >&2; tail -5 "$folder/broker.log" >&2
        kill "$broker" "$namesrv" 2>/dev/null || true
        exit 1
    fi
    sleep 0.5
done
sleep 2
echo "loadgen run --namesrv 127.0.0.1:$namesrv_port --broker-pid $broker"
wait "$broker"
