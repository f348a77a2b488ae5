package ringmq.conformance;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Delayed messages and retries that pend while a store changes hands between Apache's broker and
 * RingMQ's: each delivers what the other took, on time, and neither delivers what the other has
 * (config/delayOffset.json says how far each level is). The queues of delayed messages keep every
 * byte: a unit's tags code is its time of delivery. RingMQ's visits end by SIGTERM, by SIGKILL, and
 * begin without the list of queues that its last visit left. A kill costs duplicates, counted here,
 * of what was delivered in that life. Against Apache its own broker takes the visits.
 */
final class DelayedDropIn implements Scenario {
    private static final int SEND_MSG_BACK = 36;
    private static final int GET_MAX_OFFSET = 30;
    /** Milliseconds of the levels used, by the default of messageDelayLevel. */
    private static final Map<Integer, Long> DELAY_MS =
        new TreeMap<>(Map.of(2, 5_000L, 3, 10_000L, 4, 30_000L, 5, 60_000L));
    private static final int OF_EACH_LEVEL = 4;
    private static final int RETRIES = 3;
    /**
     * How late a busy machine may deliver: Apache itself looks every 100 ms, 1 s after its start.
     */
    private static final long LATE_MS_MAX = 15_000;
    /** Messages due this shortly before a broker is told to stop may wait for the next life. */
    private static final long STOPPING_MS = 3_000;
    private static final String VISITOR = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    /** When a message may be delivered, by the sender's clock around its send. */
    private static final class Due {
        final long from;
        final long to;

        Due(long before, long after, int level) {
            this.from = before + DELAY_MS.get(level);
            this.to = after + DELAY_MS.get(level);
        }
    }

    /** One life of a broker; the last one has no end. */
    private static final class Life {
        final boolean visit;
        /** When it was asked for, and when it had begun. */
        final long asked;
        final long begin = System.currentTimeMillis();
        long end = Long.MAX_VALUE;
        boolean killed;
        int delivered;

        Life(boolean visit, long asked) {
            this.visit = visit;
            this.asked = asked;
        }
    }

    private final Map<String, Due> due = new LinkedHashMap<>();
    private final List<Life> lives = new ArrayList<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;
    private String retryTopic;
    /** Where the messages are that are given back, by id; each once. */
    private final Map<String, Long> originals = new LinkedHashMap<>();

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        retryTopic = "%RETRY%" + kit.group;
        lives.add(new Life(false, 0));
        for (int i = 0; i < 6 * RETRIES; i++) {
            String id = "g" + i;
            SendResult result = producer.send(new Message(kit.topic, "tag", id.getBytes()));
            originals.put(id, Long.parseLong(result.getOffsetMsgId().substring(16), 16));
        }
        // What has the longest delay lasts over more than one visit.
        visit("stopped", "end-broker", "", Set.of(2, 3, 5));
        visit("killed", "kill-broker", "", Set.of(2, 3, 4));
        visit("rebuilt", "end-broker", "forget-manifest", Set.of(2, 3));
        long last = due.values().stream().mapToLong(d -> d.to).max().orElseThrow();
        Thread.sleep(Math.max(0, last - System.currentTimeMillis()));
        DefaultMQPullConsumer consumer = kit.pullConsumer(kit.group + "_reader");
        Check.within(LATE_MS_MAX + 30_000, due.size() + " messages delivered",
            () -> delivered(consumer).size() >= due.size());
        Thread.sleep(2_000); // what must not come twice has had its chance
        onTimeAndOnce(delivered(consumer));
    }

    /**
     * Apache takes messages and is stopped; the visitor delivers some of them, takes others and
     * ends; Apache is back and delivers the rest.
     */
    private void visit(String what, String end, String before, Set<Integer> levels)
        throws Exception {
        try {
            fill(levels);
            String units = endLife("end-broker");
            if (Kit.AGAINST_RINGMQ && !before.isEmpty()) {
                Runner.ask(before);
            }
            beginLife(VISITOR, true);
            fill(levels);
            // The shorter levels become due, Apache's and the visitor's own.
            Thread.sleep(DELAY_MS.get(2) + STOPPING_MS + 1_000);
            units = kept(units, endLife(end));
            beginLife("apache", false);
            Check.that(!units.isEmpty(), "units of delayed messages");
        } catch (Check.Failed e) {
            throw new Check.Failed(what + ": " + e.getMessage());
        }
    }

    private void beginLife(String broker, boolean visit) throws Exception {
        long asked = System.currentTimeMillis();
        Runner.ask("start-broker " + broker);
        lives.add(new Life(visit, asked));
        Check.within(60_000, "the broker answers", this::answers);
    }

    /** Ends the broker; the units of delayed messages that it leaves, checked. */
    private String endLife(String how) throws Exception {
        Life life = lives.get(lives.size() - 1);
        life.end = System.currentTimeMillis();
        life.killed = how.equals("kill-broker");
        Runner.ask(how); // may take long, and delivers no more
        return units();
    }

    private void fill(Set<Integer> levels) throws Exception {
        for (int i = 0; i < OF_EACH_LEVEL; i++) {
            for (int level : levels) {
                String id = "d" + due.size();
                // With and without a tag: its hash must not be taken for the time of delivery.
                Message message = new Message(kit.topic, i % 2 == 0 ? "tag" : "", id.getBytes());
                message.setDelayTimeLevel(level);
                long before = System.currentTimeMillis();
                Check.same(SendStatus.SEND_OK, sent(message).getSendStatus(), "send of " + id);
                due.put(id, new Due(before, System.currentTimeMillis(), level));
            }
        }
        for (int i = 0; i < RETRIES; i++) {
            giveBack();
        }
    }

    /** A broker that has just come back may not be known to this client yet. */
    private SendResult sent(Message message) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                return producer.send(message, queues.get(due.size() % queues.size()), 10_000);
            } catch (Exception e) {
                if (attempt == 20) {
                    throw e;
                }
                Thread.sleep(500);
            }
        }
    }

    /** As a consumer that failed: the message comes to the retry topic of its group. */
    private void giveBack() throws Exception {
        String id = originals.keySet().iterator().next();
        Map<String, Object> fields = Map.of("offset", originals.remove(id), "group", kit.group,
            "delayLevel", 3);
        long before = System.currentTimeMillis();
        Check.same(0, Kit.request(producer, address(), SEND_MSG_BACK, fields).getCode(),
            "answer to " + id + ", which is given back");
        due.put(id, new Due(before, System.currentTimeMillis(), 3));
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

    /** Every unit that was there before is there, byte by byte. */
    private static String kept(String before, String after) {
        Set<String> missing = new HashSet<>(Arrays.asList(before.split(";")));
        missing.removeAll(Arrays.asList(after.split(";")));
        Check.same(Set.of(), missing, "units that are no longer there");
        return after;
    }

    private static String address() {
        return Kit.brokers().values().iterator().next();
    }

    private boolean answers() {
        try {
            Map<String, Object> fields = Map.of("topic", kit.topic, "queueId", 0);
            return Kit.request(producer, address(), GET_MAX_OFFSET, fields).getCode() == 0
                && !Kit.route(producer, kit.topic).isEmpty();
        } catch (Exception e) {
            return false;
        }
    }

    /** What has come, by id: delayed messages to their topic, what was given back to its own. */
    private Map<String, List<MessageExt>> delivered(DefaultMQPullConsumer consumer) {
        Map<String, List<MessageExt>> delivered = new TreeMap<>();
        try {
            List<MessageQueue> all = new ArrayList<>(queues);
            all.addAll(Kit.route(producer, retryTopic));
            for (MessageQueue queue : all) {
                boolean isRetry = queue.getTopic().equals(retryTopic);
                for (MessageExt message : Kit.readAll(consumer, queue)) {
                    String id = new String(message.getBody());
                    if (due.containsKey(id) && isRetry == id.startsWith("g")) {
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
        int twice = 0;
        for (Map.Entry<String, Due> one : due.entrySet()) {
            List<MessageExt> messages = delivered.getOrDefault(one.getKey(), List.of());
            Check.that(!messages.isEmpty(), one.getKey() + " did not come");
            long at = messages.stream().mapToLong(MessageExt::getStoreTimestamp).min().orElse(0);
            Due due = one.getValue();
            Check.that(at >= due.from, one.getKey() + " came " + (due.from - at) + " ms too early");
            Life life = lifeAt(at);
            life.delivered++;
            Check.between(1, life.killed ? 2 : 1, messages.size(), "deliveries of "
                + one.getKey());
            twice += messages.size() - 1;
            long possible = firstPossible(due.to);
            waited += possible > due.to ? 1 : 0;
            latest = Math.max(latest, at - possible);
        }
        List<Integer> byVisits = lives.stream().filter(life -> life.visit)
            .map(life -> life.delivered).collect(Collectors.toList());
        Check.that(byVisits.stream().allMatch(count -> count >= OF_EACH_LEVEL),
            "deliveries during the visits: " + byVisits);
        Runner.note(due.size() + " delayed messages and retries, " + waited
            + " of them overdue at a broker's start, " + byVisits + " during visits, " + twice + " twice after a kill, the last "
            + Math.max(0, latest) + " ms late");
        Check.between(Long.MIN_VALUE, LATE_MS_MAX, latest, "ms after the time, or after a start");
    }

    private Life lifeAt(long time) {
        Life at = lives.get(0);
        for (Life life : lives) {
            at = life.asked <= time ? life : at;
        }
        return at;
    }

    /** The time itself, or the start of the next life of a broker. */
    private long firstPossible(long time) {
        for (Life life : lives) {
            if (time < life.end - STOPPING_MS) {
                return Math.max(time, life.begin);
            }
        }
        throw new Check.Failed("no life of a broker after " + time);
    }
}
