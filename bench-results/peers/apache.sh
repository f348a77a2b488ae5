#!/bin/sh
# Starts Apache RocketMQ 5.5.0 (name server and one broker) on loopback, as a peer for loadgen.
#
#   apache.sh FOLDER [default|recommended|transient] [async|sync] [CORES]
#
# FOLDER gets jars, settings, store and logs. CORES (as 0 or 0,1) pins the broker; without it the scheduler chooses.
# Prints one line for loadgen when both answer, and runs until it is stopped:
#
#   loadgen run --namesrv 127.0.0.1:19876 --broker-pid 4242
#
# Needs Java 8 to 17 (JAVA, default: java) and mvn for the first start, which takes the jars from Maven Central.
set -eu
folder=${1:?FOLDER is missing}
profile=${2:-default}
flush=${3:-async}
cores=${4:-}
version=5.5.0
java=${JAVA:-java}
namesrv_port=${NAMESRV_PORT:-19876}
broker_port=${BROKER_PORT:-20911}
heap=${HEAP:-2g}

mkdir -p "$folder/jars" "$folder/conf"
folder=$(cd "$folder" && pwd)
if [ ! -e "$folder/jars/rocketmq-broker-$version.jar" ]; then
    cat > "$folder/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>peer</groupId><artifactId>peer</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-broker</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-namesrv</artifactId><version>$version</version></dependency>
</dependencies></project>
XML
    mvn -q -f "$folder/pom.xml" dependency:copy-dependencies -DoutputDirectory="$folder/jars"
fi

case $flush in
    async) flush_type=ASYNC_FLUSH ;;
    sync) flush_type=SYNC_FLUSH ;;
    *) echo "flush is async or sync, not $flush" >&2; exit 2 ;;
esac
{
    echo "brokerName=apache-$profile"
    echo "brokerClusterName=DefaultCluster"
    echo "brokerIP1=127.0.0.1"
    echo "listenPort=$broker_port"
    echo "storePathRootDir=$folder/store"
    echo "storePathCommitLog=$folder/store/commitlog"
    echo "flushDiskType=$flush_type"
    echo "brokerRole=ASYNC_MASTER"
    case $profile in
        default) ;;
        # What its documentation recommends for throughput: a spin lock off, more send threads, warm files.
        recommended)
            echo "useReentrantLockWhenPutMessage=true"
            echo "sendMessageThreadPoolNums=16"
            echo "warmMapedFileEnable=true"
            ;;
        # Acknowledged from off-heap memory: lost when the process is killed. Another promise than default's.
        transient)
            echo "transientStorePoolEnable=true"
            echo "transientStorePoolSize=2"
            ;;
        *) echo "profile is default, recommended or transient, not $profile" >&2; exit 2 ;;
    esac
} > "$folder/broker.conf"
echo "listenPort=$namesrv_port" > "$folder/namesrv.conf"

export ROCKETMQ_HOME="$folder"
# What its last life said must not be taken for this one's.
rm -f "$folder/broker.log"
pin=
if [ -n "$cores" ]; then pin="taskset -c $cores"; fi
"$java" -Xms256m -Xmx256m -Duser.home="$folder" -cp "$folder/jars/*" \
    org.apache.rocketmq.namesrv.NamesrvStartup -c "$folder/namesrv.conf" > "$folder/namesrv.log" 2>&1 &
namesrv=$!
# shellcheck disable=SC2086 # a command and its arguments
$pin "$java" "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:+AlwaysPreTouch -Duser.home="$folder" -cp "$folder/jars/*" \
    org.apache.rocketmq.broker.BrokerStartup -c "$folder/broker.conf" -n "127.0.0.1:$namesrv_port" \
    > "$folder/broker.log" 2>&1 &
broker=$!
trap 'kill "$broker" "$namesrv" 2>/dev/null; wait; exit 0' INT TERM
tries=0
until grep -q "boot success" "$folder/broker.log" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! kill -0 "$broker" 2>/dev/null; then
        echo "the broker did not start:" >&2; tail -5 "$folder/broker.log" >&2
        kill "$broker" "$namesrv" 2>/dev/null || true
        exit 1
    fi
    sleep 0.5
done
echo "loadgen run --namesrv 127.0.0.1:$namesrv_port --broker-pid $broker"
wait "$broker"
