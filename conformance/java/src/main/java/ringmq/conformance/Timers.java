package ringmq.conformance;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Timer messages of 5.x: each comes to its own queue once, not before the time that was asked for;
 * what has passed comes at once; what is too far away, or no time, is refused.
 */
final class Timers implements Scenario {
    private static final int MESSAGE_ILLEGAL = 13;
    private static final int OF_EACH_KIND = 6;
    private static final long DAY_MS = 86_400_000L;
    /** How late a busy machine may deliver; Apache's grid is a second. */
    private static final long LATE_MS_MAX = 15_000;

    /** One message, and when it may come by the sender's clock around its send. */
    private static final class Due {
        final MessageQueue queue;
        final long from;
        final long to;

        Due(MessageQueue queue, long from, long to) {
            this.queue = queue;
            this.from = from;
            this.to = to;
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
        for (int i = 0; i < OF_EACH_KIND; i++) {
            long later = 1_500 + 1_337L * i;
            send("TIMER_DELAY_MS", later, later);
            send("TIMER_DELIVER_MS", System.currentTimeMillis() + later, 0);
            send("TIMER_DELAY_SEC", 1 + i, 1_000L * (1 + i));
        }
        send("TIMER_DELAY_MS", 0, 0);
        send("TIMER_DELAY_SEC", -5, 0);
        send("TIMER_DELIVER_MS", 1, 0);
        refusals();
        Check.within(8_000 + LATE_MS_MAX + 20_000, "every timer message",
            () -> received.distinct() >= due.size());
        Thread.sleep(2_500); // what must not come twice has had its chance
        received.exactlyOnce(due.keySet());
        long latest = 0;
        for (Map.Entry<String, Due> one : due.entrySet()) {
            MessageExt message = received.one(one.getKey());
            asItWas(message, one.getKey(), one.getValue());
            latest = Math.max(latest, message.getStoreTimestamp() - one.getValue().to);
        }
        Runner.note(due.size() + " timer messages, the last " + Math.max(0, latest) + " ms late");
        Check.between(Long.MIN_VALUE, LATE_MS_MAX, latest, "ms after the time");
    }

    private void send(String property, long value, long delayMs) throws Exception {
        String id = "t" + due.size();
        MessageQueue queue = queues.get(due.size() % queues.size());
        Message message = TimerKit.message(kit.topic, id, property, value);
        long before = System.currentTimeMillis();
        MessageQueue told = TimerKit.send(producer, message, queue).getMessageQueue();
        long after = System.currentTimeMillis();
        Check.same(queue, told, "queue of the answer to " + id);
        boolean isTime = property.equals("TIMER_DELIVER_MS");
        due.put(id, new Due(queue, isTime ? value : before + Math.max(0, delayMs),
            isTime ? Math.max(value, after) : after + Math.max(0, delayMs)));
    }

    private void refusals() throws Exception {
        MessageQueue queue = queues.get(0);
        long now = System.currentTimeMillis();
        Map<String, Object> absurd = new HashMap<>(Map.of("TIMER_DELAY_SEC", 3 * 86_400 + 60,
            "TIMER_DELAY_MS", 4 * DAY_MS, "TIMER_DELIVER_MS", now + 36_525 * DAY_MS));
        for (Map.Entry<String, Object> one : absurd.entrySet()) {
            Message message = TimerKit.message(kit.topic, "far", one.getKey(), one.getValue());
            TimerKit.refused(producer, message, queue, MESSAGE_ILLEGAL);
        }
        for (String text : List.of("soon", "1.5", "99999999999999999999")) {
            Message message = TimerKit.message(kit.topic, "no-time", "TIMER_DELAY_MS", text);
            TimerKit.refused(producer, message, queue, MESSAGE_ILLEGAL);
        }
    }

    private void asItWas(MessageExt message, String id, Due due) {
        long at = message.getStoreTimestamp();
        Check.that(at >= due.from, id + ": " + (due.from - at) + " ms too early");
        Check.same(kit.topic, message.getTopic(), id + ": topic");
        Check.same(due.queue.getQueueId(), message.getQueueId(), id + ": queue");
        Check.same("body of " + id, new String(message.getBody()), id + ": body");
        Check.same(42, message.getFlag(), id + ": flag");
        if (message.getProperty("TIMER_OUT_MS") == null) {
            return; // it had passed, or Apache saw it so
        }
        Map<String, String> found = new HashMap<>(message.getProperties());
        found.keySet().retainAll(Set.of("REAL_TOPIC", "REAL_QID"));
        Check.same(Map.of("REAL_TOPIC", kit.topic, "REAL_QID", "" + due.queue.getQueueId()), found,
            id + ": properties");
        for (String name : List.of("TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS")) {
            Check.that(message.getProperty(name) != null, id + ": no " + name);
        }
    }
}
