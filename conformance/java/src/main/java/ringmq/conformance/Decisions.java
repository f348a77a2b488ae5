package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * How the transactions of one scenario end, by the id of their message, and when their producers
 * know: at once, or from a phase of the scenario on, when the broker asks.
 */
final class Decisions implements TransactionListener {
    /** How one transaction ends. */
    static final class Decision {
        final boolean commits;
        /** 0: at once. */
        final int phase;
        final AtomicInteger asked = new AtomicInteger();

        Decision(boolean commits, int phase) {
            this.commits = commits;
            this.phase = phase;
        }

        LocalTransactionState state() {
            return commits ? LocalTransactionState.COMMIT_MESSAGE
                : LocalTransactionState.ROLLBACK_MESSAGE;
        }
    }

    private final Map<String, Decision> decisions = new ConcurrentHashMap<>();
    private volatile int phase;

    /** From now on producers know what they know from this phase on. */
    void phase(int phase) {
        this.phase = phase;
    }

    /** The ids of what is committed or of what is rolled back. */
    List<String> ids(boolean committed) {
        List<String> ids = new ArrayList<>();
        decisions.forEach((id, decision) -> {
            if (decision.commits == committed) {
                ids.add(id);
            }
        });
        return ids;
    }

    Decision of(String id) {
        return decisions.get(id);
    }

    /** How often brokers have asked about what was known at once. */
    int askedTooMuch() {
        return decisions.values().stream().filter(d -> d.phase == 0)
            .mapToInt(d -> d.asked.get()).sum();
    }

    /** Begins transactions, one after another; a broker that has just come back may be unknown. */
    void send(TransactionMQProducer producer, String topic, int count, boolean commits, int phase)
        throws Exception {
        for (int i = 0; i < count; i++) {
            String id = "x" + decisions.size();
            decisions.put(id, new Decision(commits, phase));
            Message message = new Message(topic, "tag", "key-" + id, 42, id.getBytes(), true);
            message.putUserProperty(Received.ID, id);
            TransactionSendResult result = sent(producer, message);
            Check.same(SendStatus.SEND_OK, result.getSendStatus(), "send of " + id);
            Check.that(result.getTransactionId() != null, "transactionId of " + id);
        }
    }

    private static TransactionSendResult sent(TransactionMQProducer producer, Message message)
        throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                return producer.sendMessageInTransaction(message, null);
            } catch (Exception e) {
                if (attempt == 20) {
                    throw e;
                }
                Thread.sleep(500);
            }
        }
    }

    @Override
    public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
        Decision decision = decisions.get(message.getUserProperty(Received.ID));
        return decision.phase == 0 ? decision.state() : LocalTransactionState.UNKNOW;
    }

    @Override
    public LocalTransactionState checkLocalTransaction(MessageExt message) {
        Decision decision = decisions.get(message.getUserProperty(Received.ID));
        if (decision == null || !new String(message.getBody()).startsWith("x")) {
            return LocalTransactionState.UNKNOW;
        }
        decision.asked.incrementAndGet();
        return decision.phase <= phase ? decision.state() : LocalTransactionState.UNKNOW;
    }
}
