package ringmq.conformance;

import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Every way to send; what arrives is byte for byte what was sent, and the send results can be used.
 */
final class SendKinds implements Scenario {
    /**
     * Two tags of one hash code: the broker cannot tell them apart, the client must still not
     * deliver the other.
     */
    private static final String TAG = "AaAa";
    private static final String SAME_HASH = "BBBB";
    private static final String OTHER_TAG = "Other";

    private final Map<String, Message> sent = new LinkedHashMap<>();
    private final Map<String, SendResult> results = new HashMap<>();
    private final Random random = new Random(1);

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        sync(producer, kit.topic);
        async(producer, kit.topic);
        oneWay(producer, kit.topic);
        batch(producer, kit.topic);
        big(producer, kit.topic);
        Set<String> wanted = new HashSet<>(sent.keySet());
        otherTags(producer, kit.topic);

        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, TAG + " || " + "Tag2");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        Check.within(60_000, wanted.size() + " messages received", () ->
            received.distinct() >= wanted.size());
        Thread.sleep(500); // what must not come has had its chance
        received.exactlyOnce(wanted);
        for (String id : wanted) {
            intact(sent.get(id), received.one(id));
        }
        byOffsetId(producer, kit.topic, received);
    }

    private Message message(String topic, String tag, byte[] body) {
        String id = "m" + sent.size();
        Message message = new Message(topic, tag, "key-" + id + " second-key", 42, body, true);
        message.putUserProperty(Received.ID, id);
        message.putUserProperty("colour", "grün 绿色");
        sent.put(id, message);
        return message;
    }

    private Message message(String topic) {
        byte[] body = new byte[1 + random.nextInt(300)];
        random.nextBytes(body);
        return message(topic, sent.size() % 2 == 0 ? TAG : "Tag2", body);
    }

    private void sync(DefaultMQProducer producer, String topic) throws Exception {
        Map<MessageQueue, Long> last = new HashMap<>();
        for (int i = 0; i < 40; i++) {
            Message message = message(topic);
            SendResult result = producer.send(message);
            plausible(result, message);
            Long before = last.put(result.getMessageQueue(), result.getQueueOffset());
            Check.that(before == null || before + 1 == result.getQueueOffset(),
                "queue offsets rise by one: " + before + " then " + result.getQueueOffset());
        }
        Check.that(last.size() >= 4, "queues used by 40 sends in turn: " + last.keySet());
    }

    private void plausible(SendResult result, Message message) {
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        Check.same(message.getTopic(), result.getMessageQueue().getTopic(),
            "topic of the send result");
        Check.that(isId(result.getMsgId()), "msgId " + result.getMsgId());
        Check.that(isId(result.getOffsetMsgId()), "offsetMsgId " + result.getOffsetMsgId());
        Check.that(result.getQueueOffset() >= 0, "queueOffset " + result.getQueueOffset());
        results.put(message.getUserProperty(Received.ID), result);
    }

    /** 32 hexadecimal digits with an IPv4 address in them, 56 with an IPv6 one. */
    private static boolean isId(String id) {
        return id != null && id.matches("[0-9A-F]{32}|[0-9A-F]{56}");
    }

    private void async(DefaultMQProducer producer, String topic) throws Exception {
        int count = 40;
        CountDownLatch answered = new CountDownLatch(count);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        for (int i = 0; i < count; i++) {
            Message message = message(topic);
            producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    try {
                        synchronized (results) {
                            plausible(result, message);
                        }
                    } catch (Throwable e) {
                        failure.set(e);
                    }
                    answered.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    failure.set(e);
                    answered.countDown();
                }
            });
        }
        Check.that(answered.await(20, TimeUnit.SECONDS), answered.getCount()
            + " asynchronous sends unanswered");
        Check.same(null, failure.get(), "failure of an asynchronous send");
    }

    private void oneWay(DefaultMQProducer producer, String topic) throws Exception {
        for (int i = 0; i < 20; i++) {
            producer.sendOneway(message(topic));
        }
    }

    private void batch(DefaultMQProducer producer, String topic) throws Exception {
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            batch.add(message(topic));
        }
        SendResult result = producer.send(batch);
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status of the batch");
        Check.same(20, result.getMsgId().split(",").length, "ids in the msgId of a batch");
        Check.same(20, result.getOffsetMsgId().split(",").length,
            "ids in the offsetMsgId of a batch");
    }

    /** 1 MiB that does not compress, and 100 KiB that the client compresses before it sends. */
    private void big(DefaultMQProducer producer, String topic) throws Exception {
        byte[] noise = new byte[1 << 20];
        random.nextBytes(noise);
        byte[] text = "RocketMQ ".repeat(100 * 1024 / 9).getBytes(StandardCharsets.UTF_8);
        for (byte[] body : List.of(noise, text)) {
            Message message = message(topic, TAG, body);
            plausible(producer.send(message), message);
        }
    }

    private void otherTags(DefaultMQProducer producer, String topic) throws Exception {
        Check.same(TAG.hashCode(), SAME_HASH.hashCode(), "hash codes of the two tags");
        for (int i = 0; i < 10; i++) {
            producer.send(message(topic, i % 2 == 0 ? SAME_HASH : OTHER_TAG,
                "not for this consumer".getBytes()));
        }
    }

    private void intact(Message sent, MessageExt got) {
        String id = sent.getUserProperty(Received.ID);
        Check.that(Arrays.equals(sent.getBody(), got.getBody()), "body of " + id);
        Check.same(sent.getTopic(), got.getTopic(), "topic of " + id);
        Check.same(sent.getTags(), got.getTags(), "tag of " + id);
        Check.same(sent.getKeys(), got.getKeys(), "keys of " + id);
        Check.same(sent.getFlag(), got.getFlag(), "flag of " + id);
        Check.same(sent.getUserProperty("colour"), got.getUserProperty("colour"), "property of "
            + id);
        Check.same(0, got.getReconsumeTimes(), "reconsumeTimes of " + id);
        long now = System.currentTimeMillis();
        Check.between(now - 300_000, now + 1_000, got.getBornTimestamp(), "bornTimestamp of " + id);
        Check.between(got.getBornTimestamp() - 1_000, now + 1_000, got.getStoreTimestamp(),
            "storeTimestamp of " + id);
        SendResult result = results.get(id);
        if (result != null) {
            Check.same(result.getMsgId(), got.getMsgId(), "msgId of " + id);
            Check.same(result.getMessageQueue().getQueueId(), got.getQueueId(), "queue of " + id);
            Check.same(result.getQueueOffset(), got.getQueueOffset(), "queueOffset of " + id);
        }
    }

    private void byOffsetId(DefaultMQProducer producer, String topic, Received received)
        throws Exception {
        for (String id : List.of("m0", "m41")) {
            SendResult result = results.get(id);
            MessageExt viewed = producer.viewMessage(topic, result.getOffsetMsgId());
            Check.that(viewed != null, "message of offsetMsgId " + result.getOffsetMsgId()
                + " not found");
            Check.that(Arrays.equals(sent.get(id).getBody(), viewed.getBody()),
                "body viewed by offsetMsgId");
            Check.same(received.one(id).getCommitLogOffset(), viewed.getCommitLogOffset(),
                "CommitLog offset");
            InetSocketAddress store = (InetSocketAddress) viewed.getStoreHost();
            InetSocketAddress inId = (InetSocketAddress) MessageDecoder
                .decodeMessageId(result.getOffsetMsgId()).getAddress();
            Check.same(store.getPort(), inId.getPort(), "broker port in the offsetMsgId");
        }
    }
}
