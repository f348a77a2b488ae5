#!/usr/bin/env bash
# Moves a broker from Apache RocketMQ to RingMQ while its clients work. README.md beside it says
# what each step is for. It stays in the foreground as long as RingMQ's broker runs.
set -euo pipefail

: "${NAMESRV:?the name servers, host:port;host:port}"
: "${MASTER:?host:port of the Apache master}"
: "${SLAVE:?host:port of the RingMQ broker: its listenPort}"
: "${CONFIG:?the configuration file of the RingMQ broker, with brokerRole=SLAVE}"
: "${STOP_MASTER:?the command that stops the Apache master, for example: mqshutdown broker}"
ROLE=${ROLE:-ASYNC_MASTER}
NEAR_BYTES=${NEAR_BYTES:-1048576}
read -ra mqbroker <<<"${MQBROKER:-mqbroker}"
read -ra mqadmin <<<"${MQADMIN:-mqadmin}"

# value BROKER KEY: what the broker says of itself.
value() {
  "${mqadmin[@]}" brokerStatus -n "$NAMESRV" -b "$1" | awk -v key="$2" '$1 == key { print $3 }'
}

# behind: bytes of the master's log that the slave does not have.
behind() {
  local master slave
  master=$(value "$MASTER" commitLogMaxOffset)
  slave=$(value "$SLAVE" commitLogMaxOffset)
  echo "the master's log ends at ${master:?}, the slave's at ${slave:?}" >&2
  echo $((master - slave))
}

echo "== 1. RingMQ joins as a slave of the Apache master"
"${mqbroker[@]}" -c "$CONFIG" &
broker=$!
trap 'kill "$broker" 2>/dev/null || true' TERM INT EXIT
until value "$SLAVE" haFollowsMaster | grep -q true; do sleep 1; done

echo "== 2. it catches up, while clients work"
until [ "$(behind)" -le "$NEAR_BYTES" ]; do sleep 1; done

echo "== 3. the master takes no more messages; what it has is read on"
"${mqadmin[@]}" updateBrokerConfig -n "$NAMESRV" -b "$MASTER" -k brokerPermission -v 4
until [ "$(behind)" -eq 0 ]; do sleep 1; done

echo "== 4. topics, groups and offsets follow once more"
asked=$(value "$SLAVE" haTablesFollowed)
until [ "$(value "$SLAVE" haTablesFollowed)" -gt "$((asked + 1))" ]; do sleep 1; done

echo "== 5. the Apache master ends, RingMQ becomes the master"
$STOP_MASTER
"${mqbroker[@]}" -c "$CONFIG" --become "$ROLE"
echo "== migrated"
wait "$broker"
