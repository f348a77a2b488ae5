#!/bin/bash
# How long a start takes after a kill: with everything written, and with 64 MiB to take over.
#   takeover.sh BIN FOLDER MAJ:MIN      BIN: the release build's folder; FOLDER: on the device MAJ:MIN (`lsblk`)
# Needs root and a blkio control group (version 1): the device is held to 1 MiB/s while messages are sent.
set -eu
bin=$1 folder=$2 device=$3 group=/sys/fs/cgroup/blkio/ringmq-takeover
mkdir -p "$folder" "$group"
echo "$device 1048576" >"$group/blkio.throttle.write_bps_device"
"$bin/mqnamesrv" --set listenPort=39876 >"$folder/namesrv.log" 2>&1 &
namesrv=$!
trap 'kill $namesrv; rmdir "$group"' EXIT
start() { # slow|fast: prints how long it took until the greeting tells what was recovered
  : >"$folder/broker.log"
  (
    if [ "$1" = slow ]; then echo "$BASHPID" >"$group/cgroup.procs"; fi
    exec "$bin/mqbroker" -n 127.0.0.1:39876 --set listenPort=39511 --set brokerIP1=127.0.0.1 \
      --set storePathRootDir="$folder/store" >"$folder/broker.log" 2>&1
  ) &
  broker=$!
  local began
  began=$(date +%s%N)
  until grep -q "$2" "$folder/broker.log"; do sleep 0.005; done
  echo "$1: $((($(date +%s%N) - began) / 1000000)) ms; $(grep 'shard 0: the store' "$folder/broker.log" || true)"
}
for slow in fast slow; do
  rm -rf "$folder/store"
  start "$slow" 'boot success'
  sleep 1
  "$bin/loadgen" run --namesrv 127.0.0.1:39876 --topic T --rate 25000 --duration 2s --warmup 0.2s \
    --out "$folder/out" >"$folder/loadgen.log" 2>&1 || true
  if [ "$slow" = fast ]; then sleep 2; fi
  kill -9 "$broker"
  wait "$broker" 2>/dev/null || true
  start fast 'shard 0: the store'
  sleep 1
  kill "$broker"
  wait "$broker" || true
done
