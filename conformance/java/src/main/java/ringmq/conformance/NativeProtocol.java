package ringmq.conformance;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Messages of RingMQ's native protocol, as stock clients see them: consumed with tag and properties, found by key, unique key and
 * message id; and what stock clients send, as the native protocol reads it.
 */
final class NativeProtocol implements Scenario {
    private static final int COUNT = 40;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        long begin = System.currentTimeMillis() - 5_000;
        Set<String> ids = new TreeSet<>();
        String[] uniqueKeys = Runner.ask("native-send " + kit.topic + " " + COUNT).split(",");
        for (int i = 0; i < COUNT; i++) {
            Message message = new Message(kit.topic, "java", ("java " + i).getBytes());
            message.setKeys(List.of("java-key-" + i, "both"));
            message.putUserProperty(Received.ID, "java-" + i);
            SendResult sent = producer.send(message, queues.get(i % queues.size()));
            Check.that(sent.getMsgId() != null, "a message id");
            ids.add("java-" + i);
            ids.add("native-" + i);
        }
        consumed(kit, ids);
        found(kit, producer, uniqueKeys, begin);
        Check.same(ids, new TreeSet<>(List.of(Runner.ask("native-fetch " + kit.topic).split(","))), "what the native protocol reads");
    }

    private static void consumed(Kit kit, Set<String> ids) throws Exception {
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "native || java");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        Check.within(60_000, "all messages of both protocols", () -> received.distinct() >= 2 * COUNT);
        received.exactlyOnce(ids);
    }

    private static void found(Kit kit, DefaultMQProducer producer, String[] uniqueKeys, long begin) throws Exception {
        Check.same(COUNT, uniqueKeys.length, "unique keys");
        for (int i = 0; i < COUNT; i++) {
            String body = "native " + i;
            Check.same(Set.of(body), QueryByKey.found(producer, kit.topic, "native-key-" + i, 32, begin, QueryByKey.end()), "messages with native-key-" + i);
            MessageExt message = QueryByKey.byUniqueKey(producer, kit.topic, uniqueKeys[i]);
            Check.same(body, new String(message.getBody()), "message of " + uniqueKeys[i]);
            Check.same("native", message.getTags(), "its tag");
            MessageExt viewed = producer.viewMessage(kit.topic, offsetMsgId(message));
            Check.same(body, new String(viewed.getBody()), "message viewed by its offset id");
        }
        Check.same(64, QueryByKey.found(producer, kit.topic, "both", 64, begin, QueryByKey.end()).size(), "messages of both protocols with one key, of 80 at most 64");
    }

    /** The id that says where the message lies: the broker's host and the physical offset. */
    private static String offsetMsgId(MessageExt message) {
        java.nio.ByteBuffer place = java.nio.ByteBuffer.allocate(16);
        return org.apache.rocketmq.common.message.MessageDecoder.createMessageId(place, message.getStoreHostBytes(), message.getCommitLogOffset());
    }
}
