package ringmq.conformance;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Delayed messages that Apache's broker took, on a store that RingMQ's has for a while: they stay
 * where they are, their queues keep every byte (a unit's tags code is its time of delivery), and
 * Apache's broker delivers them on time and once when it has the store back. RingMQ's visits end
 * by SIGTERM, by SIGKILL, and begin without the list of queues that its last visit left. Against
 * Apache nobody has the store meanwhile: what remains is what is expected of its broker's return.
 */
final class DelayedDropIn implements Scenario {
    private static final int GET_MAX_OFFSET = 30;
    private static final String DELAYED = "SCHEDULE_TOPIC_XXXX";
    /** Milliseconds of the levels used, by the default of messageDelayLevel. */
    private static final Map<Integer, Long> DELAY_MS =
        new TreeMap<>(Map.of(3, 10_000L, 4, 30_000L, 5, 60_000L));
    private static final int OF_EACH_LEVEL = 4;
    /**
     * How late a busy machine may deliver: Apache itself looks every 100 ms, 1 s after its start.
     */
    private static final long LATE_MS_MAX = 15_000;
    /** Messages due this shortly before a broker is told to stop may wait for the next life. */
    private static final long STOPPING_MS = 3_000;

    /** When a message may be delivered, by the sender's clock around its send. */
    private static final class Due {
        final long from;
        final long to;

        Due(long from, long to) {
            this.from = from;
            this.to = to;
        }
    }

    private final Map<String, Due> due = new LinkedHashMap<>();
    /** Begin and end of each life of Apache's broker, in ms; the last one has no end. */
    private final List<long[]> lives = new ArrayList<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        lives.add(new long[] {System.currentTimeMillis(), Long.MAX_VALUE});
        // The long delay of the second lasts over the third.
        visit("stopped", "end-broker", "", Set.of(3, 5));
        visit("killed", "kill-broker", "", Set.of(3, 5));
        visit("rebuilt", "end-broker", "forget-manifest", Set.of(3, 4));
        long last = due.values().stream().mapToLong(d -> d.to).max().orElseThrow();
        Thread.sleep(Math.max(0, last - System.currentTimeMillis()));
        DefaultMQPullConsumer consumer = kit.pullConsumer(kit.group);
        Check.within(LATE_MS_MAX + 5_000, due.size() + " messages delivered",
            () -> delivered(consumer).size() >= due.size());
        Thread.sleep(2_000); // what must not come twice has had its chance
        onTimeAndOnce(delivered(consumer));
    }

    /** Apache takes messages and is stopped, RingMQ has the store and ends, Apache is back. */
    private void visit(String what, String end, String before, Set<Integer> levels)
        throws Exception {
        try {
            send(levels);
            lives.get(lives.size() - 1)[1] = System.currentTimeMillis();
            Runner.ask("end-broker"); // may take long, and delivers no more
            String units = units();
            // Some become due during the first visit, and must still stay.
            long stayMs = what.equals("stopped") ? DELAY_MS.get(3) + 1_000 : 0;
            if (Kit.AGAINST_RINGMQ) {
                if (!before.isEmpty()) {
                    Runner.ask(before);
                }
                ringmqHasIt(stayMs, units.split(";").length);
                Runner.ask(end);
                Check.same(units, Runner.ask("schedule-units"),
                    "delay queues after RingMQ's visit");
            } else {
                Thread.sleep(stayMs);
            }
            Runner.ask("start-broker apache");
            lives.add(new long[] {System.currentTimeMillis(), Long.MAX_VALUE});
            Check.within(60_000, "the broker answers", this::answers);
        } catch (Check.Failed e) {
            throw new Check.Failed(what + ": " + e.getMessage());
        }
    }

    private void ringmqHasIt(long stayMs, long delayed) throws Exception {
        Runner.ask("start-broker ringmq");
        long[] ends = ends();
        Thread.sleep(stayMs);
        Check.same(delayed, delayedOnBroker(), "delayed messages by RingMQ");
        Check.that(Arrays.equals(ends, ends()), "a message was delivered by RingMQ");
    }

    private void send(Set<Integer> levels) throws Exception {
        for (int i = 0; i < OF_EACH_LEVEL; i++) {
            for (int level : levels) {
                String id = "d" + due.size();
                // With and without a tag: its hash must not be taken for the time of delivery.
                Message message = new Message(kit.topic, i % 2 == 0 ? "tag" : "", id.getBytes());
                message.putUserProperty(Received.ID, id);
                message.setDelayTimeLevel(level);
                long before = System.currentTimeMillis();
                Check.same(SendStatus.SEND_OK, producer.send(message).getSendStatus(), "send of "
                    + id);
                long after = System.currentTimeMillis();
                due.put(id, new Due(before + DELAY_MS.get(level), after + DELAY_MS.get(level)));
            }
        }
    }

    /** The units on disk; each says its record's store time plus the queue's delay. */
    private String units() throws Exception {
        String units = Runner.ask("schedule-units");
        Check.same(due.size(), units.split(";").length, "units of delayed messages");
        for (String unit : units.split(";")) {
            String[] fields = unit.split(" ");
            int level = Integer.parseInt(fields[0].substring(0, fields[0].indexOf('/'))) + 1;
            long deliverAt = Long.parseLong(fields[4]) + DELAY_MS.get(level);
            Check.same(deliverAt, Long.parseLong(fields[3]), "tags code of " + unit);
        }
        return units;
    }

    private long delayedOnBroker() throws Exception {
        long all = 0;
        for (int level : DELAY_MS.keySet()) {
            all += maxOffset(DELAYED, level - 1);
        }
        return all;
    }

    private long[] ends() throws Exception {
        long[] ends = new long[queues.size()];
        for (int i = 0; i < ends.length; i++) {
            ends[i] = maxOffset(kit.topic, queues.get(i).getQueueId());
        }
        return ends;
    }

    private long maxOffset(String topic, int queueId) throws Exception {
        String address = Kit.brokers().values().iterator().next();
        Map<String, Object> fields = Map.of("topic", topic, "queueId", queueId);
        return Long.parseLong(Kit.request(producer, address, GET_MAX_OFFSET, fields)
            .getExtFields().get("offset"));
    }

    private boolean answers() {
        try {
            return maxOffset(kit.topic, 0) >= 0 && !Kit.route(producer, kit.topic).isEmpty();
        } catch (Exception e) {
            return false;
        }
    }

    private Map<String, List<MessageExt>> delivered(DefaultMQPullConsumer consumer) {
        Map<String, List<MessageExt>> delivered = new TreeMap<>();
        try {
            for (MessageQueue queue : queues) {
                for (MessageExt message : Kit.readAll(consumer, queue)) {
                    String id = message.getUserProperty(Received.ID);
                    if (id != null) {
                        delivered.computeIfAbsent(id, k -> new ArrayList<>()).add(message);
                    }
                }
            }
        } catch (Exception e) {
            throw new Check.Failed("reading what was delivered: " + e);
        }
        return delivered;
    }

    private void onTimeAndOnce(Map<String, List<MessageExt>> delivered) {
        long latest = 0;
        int waited = 0;
        for (Map.Entry<String, Due> one : due.entrySet()) {
            List<MessageExt> messages = delivered.getOrDefault(one.getKey(), List.of());
            Check.same(1, messages.size(), "deliveries of " + one.getKey());
            long at = messages.get(0).getStoreTimestamp();
            Due due = one.getValue();
            Check.that(at >= due.from, one.getKey() + " came " + (due.from - at) + " ms too early");
            long possible = firstPossible(due.to);
            waited += possible > due.to ? 1 : 0;
            latest = Math.max(latest, at - possible);
        }
        Runner.note(due.size() + " delayed messages, " + waited
            + " of them overdue at Apache's return, "
            + "the last " + Math.max(0, latest) + " ms late");
        Check.between(Long.MIN_VALUE, LATE_MS_MAX, latest,
            "ms after the time, or after Apache's return");
    }

    /** The time itself, or the start of the next life of Apache's broker. */
    private long firstPossible(long time) {
        for (long[] life : lives) {
            if (time < life[1] - STOPPING_MS) {
                return Math.max(time, life[0]);
            }
        }
        throw new Check.Failed("no life of the broker after " + time);
    }
}
