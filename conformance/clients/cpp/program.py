"""The C++ client's program, through its Python binding: see ../README.md."""

import json
import sys
import threading
import time

from rocketmq.client import Message, Producer, PushConsumer, RecvMessage, _to_bytes
from rocketmq.exceptions import ffi_check
from rocketmq.ffi import _CConsumeStatus, dll

printing = threading.Lock()


def tell(**event):
    with printing:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def build(topic, order):
    message = Message(topic)
    message.set_body(order["body"])
    if order.get("tag"):
        message.set_tags(order["tag"])
    if order.get("delay"):
        message.set_delay_time_level(order["delay"])
    for key, value in order.get("properties", {}).items():
        message.set_property(key, value)
    return message


def send(producer, topic, kind, orders):
    messages = [build(topic, order) for order in orders]
    if kind == "oneway":
        return producer.send_oneway(messages[0])
    if kind == "batch":
        result = producer.send_batch(messages)
    elif kind == "ordered":
        result = producer.send_orderly(messages[0], int(orders[0]["order"]))
    else:
        result = producer.send_sync(messages[0])
    if result.status != 0:
        raise RuntimeError("status %d" % result.status)


def produce(setup):
    producer = Producer(setup["group"])
    producer.set_namesrv_addr(setup["namesrv"])
    producer.start()
    tell(event="ready")
    for line in sys.stdin:
        order = json.loads(line)
        bodies = [message["body"] for message in order["messages"]]
        try:
            send(producer, setup["topic"], order["kind"], order["messages"])
            tell(event="sent", bodies=bodies)
        except Exception as error:  # whatever the binding makes of it is a failed send
            tell(event="failed", bodies=bodies, why=repr(error))
    producer.shutdown()


def text(value):
    return value.decode() if value else ""


def consume(setup):
    consumer = PushConsumer(setup["group"], orderly=setup["orderly"])
    consumer.set_namesrv_addr(setup["namesrv"])

    def received(_, handle):
        message = RecvMessage(handle)
        attempt = message.reconsume_times
        tell(
            event="received", body=text(message.body), attempt=attempt, tag=text(message.tags),
            queue=message.queue_id, broker="", at_ms=int(time.time() * 1000),
            **{"from": text(message["RETRY_TOPIC"])},
        )
        later = attempt < setup["fail_until"]
        return (_CConsumeStatus.RECONSUME_LATER if later else _CConsumeStatus.CONSUME_SUCCESS).value

    # What PushConsumer.subscribe does, but its wrapper loses the status of a failed listener.
    ffi_check(dll.Subscribe(consumer._handle, _to_bytes(setup["topic"]), _to_bytes(setup["tags"])))
    consumer._register_callback(received)
    consumer.start()
    tell(event="ready")
    sys.stdin.read()
    consumer.shutdown()


{"produce": produce, "consume": consume}[sys.argv[1]](json.loads(sys.argv[2]))
tell(event="stopped")
