package ringmq.conformance;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Delay levels: a message waits in the queue of its level and comes to its own queue once, when it
 * is due and not before, as it was sent. All 18 levels are taken, and what is above them is level
 * 18; those that last longer than a scenario may are looked at where they wait.
 */
final class Delays implements Scenario {
    private static final String WAITING = "SCHEDULE_TOPIC_XXXX";
    private static final int LEVELS = 18;
    /** The levels that are waited for: 1 s, 5 s, 10 s. */
    private static final long[] DELAY_MS = {0, 1_000, 5_000, 10_000};
    private static final int OF_EACH_LEVEL = 5;
    /** How late a busy machine may deliver; Apache itself looks every 100 ms. */
    private static final long LATE_MS_MAX = 15_000;

    /** One message, and when it may come by the sender's clock around its send. */
    private static final class Due {
        final int level;
        final MessageQueue queue;
        final String body;
        final long from;
        final long to;

        Due(int level, MessageQueue queue, String body, long before, long after) {
            this.level = level;
            this.queue = queue;
            this.body = body;
            this.from = before + DELAY_MS[level];
            this.to = after + DELAY_MS[level];
        }
    }

    private final Map<String, Due> due = new TreeMap<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        Received received = new Received();
        kit.receive(received);
        for (int i = 0; i < OF_EACH_LEVEL; i++) {
            for (int level = 1; level < DELAY_MS.length; level++) {
                String id = "d" + due.size();
                MessageQueue queue = queues.get(due.size() % queues.size());
                String body = Letters.body(id, i == 1);
                long before = System.currentTimeMillis();
                SendResult result = send(id, body, level, queue);
                due.put(id, new Due(level, queue, body, before, System.currentTimeMillis()));
                Check.same(queue, result.getMessageQueue(), "queue of the answer to " + id);
            }
        }
        whereTheyWait();
        Check.within(DELAY_MS[3] + LATE_MS_MAX + 20_000, "every delayed message",
            () -> received.distinct() >= due.size());
        Thread.sleep(1_500); // what must not come twice has had its chance
        received.exactlyOnce(due.keySet());
        long latest = 0;
        for (Map.Entry<String, Due> one : due.entrySet()) {
            MessageExt message = received.one(one.getKey());
            asItWas(message, one.getValue());
            latest = Math.max(latest, message.getStoreTimestamp() - one.getValue().to);
        }
        Runner.note(due.size() + " delayed messages, the last " + Math.max(0, latest) + " ms late");
        Check.between(Long.MIN_VALUE, LATE_MS_MAX, latest, "ms after the time");
    }

    private SendResult send(String id, String body, int level, MessageQueue queue)
        throws Exception {
        Message message = Letters.message(kit.topic, id, "key-" + id, body);
        message.setDelayTimeLevel(level);
        SendResult result = producer.send(message, queue);
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "send of " + id);
        return result;
    }

    private void asItWas(MessageExt message, Due due) {
        String what = message.getUserProperty(Received.ID) + ": ";
        long at = message.getStoreTimestamp();
        Check.that(at >= due.from, what + (due.from - at) + " ms too early");
        Check.same(kit.topic, message.getTopic(), what + "topic");
        Check.same(due.queue.getQueueId(), message.getQueueId(), what + "queue");
        Check.same(due.body, new String(message.getBody()), what + "body");
        Check.same(42, message.getFlag(), what + "flag");
        Check.same("tag", message.getTags(), what + "tag");
        Check.same(0, message.getReconsumeTimes(), what + "reconsumeTimes");
        Check.same(properties(due.level, due.queue.getQueueId()), properties(message),
            what + "properties");
    }

    private Map<String, String> properties(int level, int queueId) {
        return Map.of("DELAY", "" + level, "REAL_TOPIC", kit.topic, "REAL_QID", "" + queueId);
    }

    private static Map<String, String> properties(MessageExt message) {
        Map<String, String> found = new HashMap<>(message.getProperties());
        found.keySet().retainAll(Set.of("DELAY", "REAL_TOPIC", "REAL_QID"));
        return found;
    }

    /** One of each level and one above: each is in its level's queue, and says where it goes. */
    private void whereTheyWait() throws Exception {
        DefaultMQPullConsumer reader = kit.pullConsumer(kit.group + "_reader");
        MessageQueue queue = queues.get(queues.size() - 1);
        Map<String, Integer> asked = new TreeMap<>();
        for (int level = DELAY_MS.length; level <= LEVELS; level++) {
            asked.put("w" + level, level);
        }
        asked.put("w99", LEVELS);
        for (String id : asked.keySet()) {
            send(id, "waits", Integer.parseInt(id.substring(1)), queue);
        }
        for (Map.Entry<String, Integer> one : asked.entrySet()) {
            MessageQueue waiting =
                new MessageQueue(WAITING, queue.getBrokerName(), one.getValue() - 1);
            Check.within(10_000, one.getKey() + " in " + waiting,
                () -> waits(reader, waiting, one.getKey()) != null);
            MessageExt found = waits(reader, waiting, one.getKey());
            Check.same(properties(one.getValue(), queue.getQueueId()), properties(found),
                "properties of " + one.getKey() + ", which waits");
        }
    }

    private MessageExt waits(DefaultMQPullConsumer reader, MessageQueue queue, String id) {
        try {
            for (MessageExt message : Kit.readAll(reader, queue)) {
                if (id.equals(message.getUserProperty(Received.ID))
                    && kit.topic.equals(message.getProperty("REAL_TOPIC"))) {
                    return message;
                }
            }
            return null;
        } catch (Exception e) {
            return null;
        }
    }
}
