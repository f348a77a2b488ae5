package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Where a new group starts that asks for the last offset. A queue that still has its first message
 * is read from there: QUERY_CONSUMER_OFFSET answers 0, not "not found", whether that message was
 * stored a moment ago, before much else, or before the broker's restart. (The original asks whether
 * it is in memory; since JDK 9 that question is always answered yes.) An empty queue has no offset.
 */
final class NewGroup implements Scenario {
    private static final int QUERY_CONSUMER_OFFSET = 14;
    private static final int QUERY_NOT_FOUND = 22;
    private static final int COUNT = 20;
    /** Together more than any broker keeps of its log's end in memory of its own. */
    private static final int BIG = 24;
    private static final int BIG_BYTES = 3_500_000;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        // The message that made the topic lies in one of the four.
        MessageQueue empty = queues.get(maxOffset(producer, queues.get(2)) == 0 ? 2 : 1);
        MessageQueue full = queues.get(0);
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < COUNT; i++) {
            Message message = new Message(kit.topic, "t", ("l" + i).getBytes());
            message.putUserProperty(Received.ID, "l" + i);
            producer.send(message, full);
            ids.add("l" + i);
        }
        starts(kit, producer, "fresh", full, empty, ids);
        fill(producer, queues.get(3));
        starts(kit, producer, "filled", full, empty, ids);
        Runner.ask("restart-broker");
        Check.within(60_000, "the broker answers again", () -> answers(kit, producer, full));
        starts(kit, producer, "restarted", full, empty, ids);
    }

    private static void starts(Kit kit, DefaultMQProducer producer, String when, MessageQueue full,
        MessageQueue empty, Set<String> ids) throws Exception {
        try {
            String group = kit.group + "_" + when;
            RemotingCommand answer = query(producer, group, full, Map.of());
            Check.same(0, answer.getCode(), "answer for the queue that has its first message");
            Check.same("0", answer.getExtFields().get("offset"), "the offset answered");
            Map<String, Object> strict = Map.of("setZeroIfNotFound", false);
            Check.same(QUERY_NOT_FOUND, query(producer, group, full, strict).getCode(),
                "answer to a client that wants no 0 for an unknown offset");
            Check.same(QUERY_NOT_FOUND, query(producer, group, empty, Map.of()).getCode(),
                "answer for the empty queue");
            consumed(kit, group, ids);
        } catch (Check.Failed e) {
            throw new Check.Failed(when + ": " + e.getMessage());
        }
    }

    private static void consumed(Kit kit, String group, Set<String> ids) throws Exception {
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(group);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        Check.within(60_000, "a new group of the last offset reads from the first message",
            () -> received.distinct() >= COUNT);
        received.exactlyOnce(ids);
        consumer.shutdown();
    }

    private static RemotingCommand query(DefaultMQProducer producer, String group,
        MessageQueue queue, Map<String, Object> more) throws Exception {
        Map<String, Object> fields = new java.util.HashMap<>(more);
        fields.put("consumerGroup", group);
        fields.put("topic", queue.getTopic());
        fields.put("queueId", queue.getQueueId());
        String address = Kit.brokers().get(queue.getBrokerName());
        return Kit.request(producer, address, QUERY_CONSUMER_OFFSET, fields);
    }

    private static long maxOffset(DefaultMQProducer producer, MessageQueue queue) throws Exception {
        return producer.getDefaultMQProducerImpl().maxOffset(queue);
    }

    private static boolean answers(Kit kit, DefaultMQProducer producer, MessageQueue queue) {
        try {
            query(producer, kit.group, queue, Map.of());
            return !Kit.route(producer, kit.topic).isEmpty();
        } catch (Exception e) {
            return false;
        }
    }

    private static void fill(DefaultMQProducer producer, MessageQueue queue) throws Exception {
        byte[] noise = new byte[BIG_BYTES];
        new Random(1).nextBytes(noise);
        for (int i = 0; i < BIG; i++) {
            producer.send(new Message(queue.getTopic(), "big", noise), queue);
        }
    }
}
