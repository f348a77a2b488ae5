package ringmq.conformance;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Timer messages and recalls that pend while a store changes hands between Apache's broker and
 * RingMQ's: each delivers what the other took, not before its time, and once; what was recalled at
 * one never comes from the other. RingMQ's visits end by SIGTERM and by SIGKILL, Apache's too: a
 * kill costs duplicates, counted here, of what was there in that life, and nothing else. Against
 * Apache its own broker takes the visits.
 */
final class TimerDropIn implements Scenario {
    private static final int GET_MAX_OFFSET = 30;
    private static final long[] DELAYS_MS = {3_000, 9_000, 25_000, 90_000};
    private static final int OF_EACH_DELAY = 4;
    private static final int READ_TRIES = 20;
    /** How late a busy machine may deliver after the time or after a broker's start. */
    private static final long LATE_MS_MAX = 20_000;
    private static final long STOPPING_MS = 3_000;
    private static final String VISITOR = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    /** One message. */
    private static final class Due {
        final long at;
        final int life;
        boolean recalled;

        Due(long at, int life) {
            this.at = at;
            this.life = life;
        }
    }

    /** One life of a broker. */
    private static final class Life {
        final boolean visit;
        final long begin = System.currentTimeMillis();
        long end = Long.MAX_VALUE;
        boolean killed;
        int delivered;

        Life(boolean visit) {
            this.visit = visit;
        }
    }

    private final Map<String, Due> due = new LinkedHashMap<>();
    private final Map<String, String> handles = new HashMap<>();
    private final List<Life> lives = new ArrayList<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        lives.add(new Life(false));
        visit("end-broker", "end-broker");
        visit("end-broker", "kill-broker");
        visit("kill-broker", "end-broker");
        long last = due.values().stream().mapToLong(d -> d.at).max().orElseThrow();
        Thread.sleep(Math.max(0, last - System.currentTimeMillis()));
        DefaultMQPullConsumer consumer = kit.pullConsumer(kit.group + "_reader");
        long stay = due.values().stream().filter(d -> !d.recalled).count();
        Check.within(LATE_MS_MAX + 30_000, stay + " messages delivered",
            () -> delivered(consumer).size() >= stay);
        Thread.sleep(3_000); // what must not come twice has had its chance
        onTime(delivered(consumer));
    }

    /** Apache takes messages and ends; the visitor delivers, takes and ends; Apache is back. */
    private void visit(String apacheEnds, String visitorEnds) throws Exception {
        fill();
        Thread.sleep(1_500); // Apache takes timers up ten times a second
        endLife(apacheEnds);
        beginLife(VISITOR, true);
        fill();
        recallOne();
        Thread.sleep(DELAYS_MS[0] + STOPPING_MS + 3_000);
        endLife(visitorEnds);
        beginLife("apache", false);
        recallOne();
    }

    private void beginLife(String broker, boolean visit) throws Exception {
        Runner.ask("start-broker " + broker);
        lives.add(new Life(visit));
        Check.within(60_000, "the broker answers", this::answers);
    }

    private void endLife(String how) throws Exception {
        Life life = lives.get(lives.size() - 1);
        life.end = System.currentTimeMillis();
        life.killed = how.equals("kill-broker");
        Runner.ask(how);
    }

    private void fill() throws Exception {
        for (int i = 0; i < OF_EACH_DELAY; i++) {
            for (long delay : DELAYS_MS) {
                String id = "d" + due.size();
                long at = System.currentTimeMillis() + delay;
                MessageQueue queue = queues.get(due.size() % queues.size());
                Message message = TimerKit.message(kit.topic, id, "TIMER_DELIVER_MS", at);
                SendResult result = sent(message, queue);
                due.put(id, new Due(at, lives.size() - 1));
                handles.put(id,
                    TimerKit.handle(kit.topic, queue.getBrokerName(), at, result.getMsgId()));
            }
        }
    }

    /** One of the other's messages that has some time left; on a slow machine there is none. */
    private void recallOne() throws Exception {
        int now = lives.size() - 1;
        Optional<String> found = due.entrySet().stream()
            .filter(one -> one.getValue().life < now && !one.getValue().recalled
                && one.getValue().at > System.currentTimeMillis() + 12_000)
            .map(Map.Entry::getKey).findFirst();
        if (found.isEmpty()) {
            return;
        }
        String id = found.get();
        String address = Kit.brokers().values().iterator().next();
        Check.same(0, TimerKit.recall(producer, address, kit.topic, handles.get(id)).getCode(),
            "recall of " + id);
        due.get(id).recalled = true;
        Thread.sleep(1_500); // before the broker ends, so that a kill loses nothing unflushed
    }

    /** A broker that has just come back may not be known to this client yet. */
    private SendResult sent(Message message, MessageQueue queue) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                return TimerKit.send(producer, message, queue);
            } catch (Exception e) {
                if (attempt == READ_TRIES) {
                    throw e;
                }
                Thread.sleep(500);
            }
        }
    }

    private boolean answers() {
        try {
            Map<String, Object> fields = Map.of("topic", kit.topic, "queueId", 0);
            String address = Kit.brokers().values().iterator().next();
            return Kit.request(producer, address, GET_MAX_OFFSET, fields).getCode() == 0
                && !Kit.route(producer, kit.topic).isEmpty();
        } catch (Exception e) {
            return false;
        }
    }

    private Map<String, List<MessageExt>> delivered(DefaultMQPullConsumer consumer) {
        for (int tries = 1; true; tries++) {
            try {
                Map<String, List<MessageExt>> delivered = new TreeMap<>();
                for (MessageQueue queue : queues) {
                    for (MessageExt message : Kit.readAll(consumer, queue)) {
                        String id = message.getUserProperty(Received.ID);
                        if (id != null) {
                            delivered.computeIfAbsent(id, k -> new ArrayList<>()).add(message);
                        }
                    }
                }
                return delivered;
            } catch (Exception e) {
                if (tries == READ_TRIES) {
                    throw new Check.Failed("reading what was delivered: " + e);
                }
                LockSupport.parkNanos(500_000_000L);
            }
        }
    }

    private void onTime(Map<String, List<MessageExt>> delivered) {
        long latest = 0;
        int twice = 0;
        for (Map.Entry<String, Due> one : due.entrySet()) {
            List<MessageExt> messages = delivered.getOrDefault(one.getKey(), List.of());
            Due due = one.getValue();
            if (due.recalled) {
                Check.same(0, messages.size(), "deliveries of recalled " + one.getKey());
                continue;
            }
            Check.that(!messages.isEmpty(), one.getKey() + " did not come");
            long at = messages.stream().mapToLong(MessageExt::getStoreTimestamp).min().orElse(0);
            Check.that(at >= due.at, one.getKey() + " came " + (due.at - at) + " ms too early");
            lifeAt(at).delivered++;
            Check.between(1, 1 + killsAfter(at), messages.size(), "deliveries of " + one.getKey());
            twice += messages.size() - 1;
            latest = Math.max(latest, at - firstPossible(due.at));
        }
        List<Integer> byVisits = lives.stream().filter(life -> life.visit)
            .map(life -> life.delivered).collect(Collectors.toList());
        Check.that(byVisits.stream().allMatch(count -> count >= OF_EACH_DELAY),
            "deliveries during the visits: " + byVisits);
        long recalled = due.values().stream().filter(one -> one.recalled).count();
        Check.that(recalled > 0, "nothing was recalled");
        Runner.note(due.size() + " timer messages, " + recalled + " recalled, " + byVisits + " delivered during visits, "
            + twice + " copies more after kills, the last " + Math.max(0, latest) + " ms late");
        Check.between(Long.MIN_VALUE, LATE_MS_MAX, latest, "ms after the time, or after a start");
    }

    private int killsAfter(long at) {
        return (int) lives.stream().filter(life -> life.killed && life.end + STOPPING_MS > at)
            .count();
    }

    private Life lifeAt(long time) {
        Life at = lives.get(0);
        for (Life life : lives) {
            at = life.begin - STOPPING_MS <= time ? life : at;
        }
        return at;
    }

    private long firstPossible(long time) {
        for (Life life : lives) {
            if (time < life.end - STOPPING_MS) {
                return Math.max(time, life.begin);
            }
        }
        throw new Check.Failed("no life of a broker after " + time);
    }
}
