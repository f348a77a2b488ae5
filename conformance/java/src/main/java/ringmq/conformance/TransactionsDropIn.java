package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Transactions that pend while a store changes hands between Apache's broker and RingMQ's: each
 * asks about what the other took, and neither about what has ended (op messages, and the offsets of
 * CID_RMQ_SYS_TRANS). RingMQ's visits end by SIGTERM and by SIGKILL. Apache keeps op messages in
 * memory for 0.3 s here, so it is stopped in good order. Against Apache its own broker takes the
 * visits.
 */
final class TransactionsDropIn implements Scenario {
    private static final int GET_MAX_OFFSET = 30;
    private static final int OF_EACH = 4;
    private static final int READ_TRIES = 20;
    private static final long ASKED_MS_MAX = 90_000;
    /** Both look every 3 s here; Apache writes op messages after 0.3 s. */
    private static final long SETTLE_MS = 4_000;
    private static final String VISITOR = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    private final Decisions decisions = new Decisions();
    private Kit kit;
    private DefaultMQProducer plain;
    private TransactionMQProducer producer;
    private DefaultMQPullConsumer reader;
    private List<MessageQueue> queues;
    private int phase;
    private boolean killedApache;
    private final List<Long> phases = new ArrayList<>();

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        plain = kit.producer();
        queues = kit.createTopic(plain);
        reader = kit.pullConsumer(kit.group + "_reader");
        producer = kit.transactionProducer(decisions);
        fill();
        change("end-broker", VISITOR);
        change("end-broker", "apache");
        change("end-broker", VISITOR);
        change("kill-broker", "apache");
        phase += 2; // everything is known now
        decisions.phase(phase);
        committedCome();
        Thread.sleep(2 * SETTLE_MS); // what must not come twice has had its chance
        Map<String, List<MessageExt>> found = committed();
        int twice = 0;
        StringBuilder when = new StringBuilder();
        for (Map.Entry<String, List<MessageExt>> one : found.entrySet()) {
            Check.that(decisions.of(one.getKey()).commits, one.getKey() + " was rolled back");
            if (one.getValue().size() > 1) {
                twice += one.getValue().size() - 1;
                when.append(' ').append(one.getKey()).append(" of phase ")
                    .append(decisions.of(one.getKey()).phase).append(" stored");
                one.getValue().forEach(copy -> when.append(' ').append(copy.getStoreTimestamp()));
                when.append(';');
            }
        }
        Check.between(0, killedApache ? Integer.MAX_VALUE : 0, twice,
            "messages that came twice (phases began at " + phases + ":" + when + ")");
        Check.between(0, killedApache ? Integer.MAX_VALUE : 0, decisions.askedTooMuch(),
            "questions about what had ended at once");
        Runner.note(found.size() + " committed over " + phase + " changes of hands, "
            + decisions.ids(false).size() + " rolled back, " + twice + " twice");
    }

    /** Some end at once, some in this life when they are asked, some only in the next one. */
    private void fill() throws Exception {
        decisions.send(producer, kit.topic, OF_EACH, true, 0);
        decisions.send(producer, kit.topic, OF_EACH, false, 0);
        for (int later = 1; later <= 2; later++) {
            decisions.send(producer, kit.topic, OF_EACH, true, phase + later);
            decisions.send(producer, kit.topic, OF_EACH, false, phase + later);
        }
    }

    /** The next broker asks about what this one took, and takes some itself. */
    private void change(String how, String next) throws Exception {
        Thread.sleep(SETTLE_MS);
        killedApache |= how.equals("kill-broker") && !Kit.AGAINST_RINGMQ;
        Runner.ask(how);
        Runner.ask("start-broker " + next);
        Check.within(60_000, "the broker answers", this::answers);
        phase++;
        phases.add(System.currentTimeMillis());
        decisions.phase(phase);
        committedCome();
        fill();
    }

    private boolean answers() {
        try {
            String address = Kit.brokers().values().iterator().next();
            Map<String, Object> fields = Map.of("topic", kit.topic, "queueId", 0);
            return Kit.request(plain, address, GET_MAX_OFFSET, fields).getCode() == 0
                && !Kit.route(plain, kit.topic).isEmpty();
        } catch (Exception e) {
            return false;
        }
    }

    /** Everything that is known to be committed by now. */
    private void committedCome() throws Exception {
        Check.within(ASKED_MS_MAX, "what is committed by phase " + phase, () -> {
            Map<String, List<MessageExt>> found = committed();
            return decisions.ids(true).stream()
                .allMatch(id -> decisions.of(id).phase > phase || found.containsKey(id));
        });
    }

    /** What is in the topic, by id. */
    private Map<String, List<MessageExt>> committed() {
        for (int tries = 1; ; tries++) {
            try {
                Map<String, List<MessageExt>> found = new TreeMap<>();
                for (MessageQueue queue : queues) {
                    for (MessageExt message : Kit.readAll(reader, queue)) {
                        String id = new String(message.getBody());
                        if (decisions.of(id) != null) {
                            found.computeIfAbsent(id, k -> new ArrayList<>()).add(message);
                        }
                    }
                }
                return found;
            } catch (Exception e) {
                if (tries == READ_TRIES) {
                    throw new Check.Failed("reading what was committed: " + e);
                }
                LockSupport.parkNanos(500_000_000L);
            }
        }
    }
}
